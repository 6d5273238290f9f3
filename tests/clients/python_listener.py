"""The Realtime verbs of a scenario with supabase-py: listen, join, broadcast, appear, and wait for what is heard."""

from __future__ import annotations

import asyncio
from typing import Any

from realtime import RealtimePostgresChangesListenEvent as Change
from supabase import AsyncClient

from tests.clients.matching import misses

HEARD_WITHIN_S = 45.0


class _Heard:
    """What came over one channel, and a way to wait for more."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.items: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.live = asyncio.Event()

    def add(self, item: dict[str, Any]) -> None:
        self.items.append(item)
        self.arrived.set()

    async def until(self, wanted: Any) -> list[dict[str, Any]]:
        async with asyncio.timeout(HEARD_WITHIN_S):
            while all(misses(wanted, item) for item in self.items):
                self.arrived.clear()
                await self.arrived.wait()
        return list(self.items)


class Listener:
    """One user's channels, by the names that the scenario gives them."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.channels: dict[str, _Heard] = {}

    async def listen(self, channel: str, table: str, event: str = "*", filter: str | None = None) -> None:
        heard = self.channels[channel] = _Heard(self.client.channel(f"rows-{channel}"))

        def on_change(change: Any) -> None:
            data = change["data"]
            heard.add({"event": data["type"], "record": data.get("record")})

        heard.channel.on_postgres_changes(Change(event), on_change, table=table, schema="public", filter=filter)
        heard.channel.on_system(lambda told: heard.live.set() if told.extension == "postgres_changes" else None)
        await heard.channel.subscribe()
        async with asyncio.timeout(HEARD_WITHIN_S):
            await heard.live.wait()

    async def join(self, channel: str, topic: str, *, private: bool = False, known_as: str = "") -> str:
        config = {
            "broadcast": {"ack": True, "self": False},
            "presence": {"key": known_as, "enabled": bool(known_as)},
            "private": private,
        }
        heard = self.channels[channel] = _Heard(
            self.client.channel(topic, {"config": config})  # type: ignore[typeddict-item]
        )

        def on_broadcast(message: Any) -> None:
            heard.add({"event": message["event"], "payload": message["payload"]})

        for event in ("said", "also"):
            heard.channel.on_broadcast(event, on_broadcast)
        if known_as:
            heard.channel.on_presence_join(lambda key, _, __: heard.add({"event": "came", "key": key}))
            heard.channel.on_presence_leave(lambda key, _, __: heard.add({"event": "went", "key": key}))
        states: list[str] = []

        def on_state(state: Any, _: Any) -> None:
            states.append(state.value)
            heard.live.set()

        await heard.channel.subscribe(on_state)
        async with asyncio.timeout(HEARD_WITHIN_S):
            await heard.live.wait()
        return states[0]

    async def appear(self, channel: str) -> None:
        await self.channels[channel].channel.track({})

    async def leave(self, channel: str) -> None:
        await self.client.remove_channel(self.channels.pop(channel).channel)

    async def broadcast(self, channel: str, event: str, payload: Any) -> None:
        await self.channels[channel].channel.send_broadcast(event, payload)

    async def broadcast_over_http(self, channel: str, event: str, payload: Any) -> None:
        await self.channels[channel].channel.http_send(event, payload)

    async def heard(self, channel: str, until: Any) -> list[dict[str, Any]]:
        return await self.channels[channel].until(until)

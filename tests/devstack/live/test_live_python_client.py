"""The official Python client on this server: what the worker and the users' scripts stand on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from realtime import AsyncRealtimeClient, RealtimeSubscribeStates

from tests.devstack.live.conftest import OTHER, OWNER, WITHIN_S, Live

Written = Callable[..., Awaitable[Any]]


class Watch:
    """A channel of the real client, its callbacks turned into queues."""

    def __init__(self, client: AsyncRealtimeClient, topic: str) -> None:
        self.channel = client.channel(topic)
        self.changes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.system: asyncio.Queue[Any] = asyncio.Queue()
        self.states: asyncio.Queue[RealtimeSubscribeStates] = asyncio.Queue()
        self.channel.on_system(self.system.put_nowait)

    async def subscribe(self, **binding: Any) -> None:
        self.channel.on_postgres_changes(callback=self.changes.put_nowait, **binding)
        await self.channel.subscribe(lambda state, _: self.states.put_nowait(state))
        assert await self.state() == RealtimeSubscribeStates.SUBSCRIBED

    async def live(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            assert (await self.system.get()).message == "Subscribed to PostgreSQL"

    async def state(self) -> RealtimeSubscribeStates:
        async with asyncio.timeout(WITHIN_S):
            return await self.states.get()

    async def change(self) -> dict[str, Any]:
        async with asyncio.timeout(WITHIN_S):
            return (await self.changes.get())["data"]


@pytest.fixture
async def client(live: Live) -> AsyncIterator[AsyncRealtimeClient]:
    url = live.url.removesuffix("/websocket")
    opened = AsyncRealtimeClient(url, live.keys.anon_key, auto_reconnect=False, timeout=1)
    yield opened
    await opened.close()
    # The client leaves its pushes' timers behind.
    mine = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not mine and "realtime" in repr(task.get_coro())]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def test_the_client_hears_filtered_changes(live: Live, written: Written, client: AsyncRealtimeClient) -> None:
    watch = Watch(client, "jobs")
    await watch.subscribe(event="*", schema="public", table="rows", filter="status=eq.queued")
    await watch.live()
    await written("insert into rows (status) values ('done')")
    row = await written("insert into rows (prompt) values ('a cat') returning id::text")
    assert (await watch.change())["record"]["id"] == row
    await written("update rows set progress = 0.5 where status = 'queued'")
    update = await watch.change()
    assert (update["type"], update["old_record"]) == ("UPDATE", {"id": row})


async def test_the_client_sees_its_own_rows_after_set_auth(
    live: Live, written: Written, client: AsyncRealtimeClient
) -> None:
    await client.set_auth(live.user(OWNER))
    watch = Watch(client, "mine")
    await watch.subscribe(event="INSERT", schema="public", table="owned")
    await watch.live()
    await written("insert into owned (user_id) values ($1)", OTHER)
    await written("insert into owned (user_id) values ($1)", OWNER)
    assert (await watch.change())["record"]["user_id"] == OWNER


async def test_the_client_is_told_of_a_table_that_is_not_published(live: Live, client: AsyncRealtimeClient) -> None:
    watch = Watch(client, "bad")
    await watch.subscribe(event="*", schema="public", table="unpublished")
    assert await watch.state() == RealtimeSubscribeStates.CHANNEL_ERROR


async def test_a_late_token_moves_the_client_to_another_user(
    live: Live, written: Written, client: AsyncRealtimeClient
) -> None:
    watch = Watch(client, "mine")
    await watch.subscribe(event="*", schema="public", table="owned")
    await watch.live()
    await client.set_auth(live.user(OTHER))
    await watch.live()
    await written("insert into owned (user_id) values ($1)", OTHER)
    assert (await watch.change())["record"]["user_id"] == OTHER

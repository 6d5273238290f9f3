"""Promises of the faults on a real socket: what Realtime loses, doubles, delays and holds back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import httpx
import pytest

from devstack.faults import EventFault, HttpFault
from devstack.stack import Stack

WITHIN_S = 20.0
ROWS = {"event": "INSERT", "schema": "public", "table": "noted"}


class Socket:
    """One websocket in the JSON version of the protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def push(self, topic: str, event: str, payload: Any) -> None:
        await self._socket.send_json({"topic": topic, "event": event, "payload": payload, "ref": "1", "join_ref": "1"})

    async def until(self, event: str) -> dict[str, Any]:
        async with asyncio.timeout(WITHIN_S):
            while (frame := await self._socket.receive_json())["event"] != event:
                pass
        payload: dict[str, Any] = frame["payload"]
        return payload

    async def join(self, name: str, **config: Any) -> None:
        await self.push(f"realtime:{name}", "phx_join", {"config": config})
        assert (await self.until("phx_reply"))["status"] == "ok"

    async def heard(self, count: int) -> list[Any]:
        """The numbers of the next broadcasts."""
        return [(await self.until("broadcast"))["payload"]["n"] for _ in range(count)]


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[Socket]:
    url, query = f"{stack.url}/realtime/v1/websocket", {"apikey": stack.keys.anon_key, "vsn": "1.0.0"}
    async with aiohttp.ClientSession() as session, session.ws_connect(url, params=query) as socket:
        yield Socket(socket)


@pytest.fixture
async def pair(stack: Stack) -> AsyncIterator[tuple[Socket, Socket]]:
    """Who sends, and who hears it."""
    async with connected(stack) as sender, connected(stack) as receiver:
        for socket in (sender, receiver):
            await socket.join("room")
        yield sender, receiver


async def say(sender: Socket, count: int) -> None:
    for n in range(count):
        payload = {"type": "broadcast", "event": "said", "payload": {"n": n}}
        await sender.push("realtime:room", "broadcast", payload)


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (EventFault("lose", nth=2), [0, 2]),
        (EventFault("duplicate", nth=2), [0, 1, 1, 2]),
        (EventFault("delay", nth=2, delay_s=0.1), [0, 2, 1]),
        (EventFault("lose", topic="realtime:elsewhere", times=None), [0, 1, 2]),
    ],
    ids=["lost", "doubled", "late", "elsewhere"],
)
async def test_a_broadcast_is_hurt_on_its_way(
    stack: Stack, pair: tuple[Socket, Socket], fault: EventFault, heard: list[int]
) -> None:
    stack.faults.hurt_events(fault)
    await say(pair[0], 3)
    assert await pair[1].heard(len(heard)) == heard
    assert fault.hits == (0 if "elsewhere" in fault.topic else 1)


async def test_a_change_of_a_row_is_lost_and_the_next_one_arrives(
    stack: Stack, connection: asyncpg.Connection[asyncpg.Record]
) -> None:
    await connection.execute(
        "create table public.noted (n int primary key); grant all on public.noted to anon, service_role;"
        "alter publication supabase_realtime add table public.noted"
    )
    stack.faults.subscribe_delay_s = 0
    headers = {"apikey": stack.keys.secret_key}
    async with connected(stack) as socket, httpx.AsyncClient(base_url=stack.url, headers=headers) as http:
        await socket.join("rows", postgres_changes=[ROWS])
        assert (await socket.until("system"))["status"] == "ok"
        fault = stack.faults.hurt_events(EventFault("lose"))
        for n in range(2):
            assert (await http.post("/rest/v1/noted", json={"n": n})).status_code == 201
        assert (await socket.until("postgres_changes"))["data"]["record"] == {"n": 1}
        assert fault.hits == 1


async def test_what_is_said_to_a_frozen_socket_arrives_when_it_thaws(stack: Stack, pair: tuple[Socket, Socket]) -> None:
    stack.faults.freeze_sockets()
    await say(pair[0], 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await pair[1].heard(1)
    stack.faults.thaw_sockets()
    assert await pair[1].heard(1) == [0]


async def test_a_connection_is_refused_as_often_as_asked(stack: Stack) -> None:
    stack.faults.hurt(HttpFault("status", path="/realtime/*", status=503, times=2))
    for _ in range(2):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            async with connected(stack):
                pass
    async with connected(stack) as socket:
        await socket.join("room")


async def test_a_token_that_ends_closes_its_channel(stack: Stack) -> None:
    stack.faults.token_life_s = 1
    headers = {"apikey": stack.keys.anon_key}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers) as http, connected(stack) as socket:
        session = (await http.post("/auth/v1/signup", json={})).json()
        payload = {"config": {"postgres_changes": []}, "access_token": session["access_token"]}
        await socket.push("realtime:mine", "phx_join", payload)
        reply = await socket.until("phx_reply")
        if reply["status"] == "ok":  # on a busy machine it has ended already
            assert "expired" in (await socket.until("system"))["message"]
            await socket.until("phx_close")
        else:
            assert "expired" in reply["response"]["reason"]

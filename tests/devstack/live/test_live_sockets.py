"""Broadcasts between clients, and how sockets end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any
from unittest.mock import ANY

import aiohttp
import asyncpg

from devstack.live.limits import Limits
from devstack.live.server import RealtimeServer
from tests.devstack.live.conftest import Client, Live, running, serving

ROWS = {"event": "*", "schema": "public", "table": "rows"}
HELLO = {"type": "broadcast", "event": "hello", "payload": {"x": "é"}}


def in_binary(topic: str, event: str, body: bytes, *, is_json: bool, ref: str = "2") -> bytes:
    """A client's broadcast as supabase-js sends it."""
    fields = [b"1", ref.encode(), topic.encode(), event.encode(), b""]
    return bytes([3, *(len(field) for field in fields), is_json]) + b"".join(fields) + body


async def test_a_broadcast_reaches_the_others_in_their_own_framing(live: Live) -> None:
    async with live.client("1.0.0") as one, live.client("2.0.0") as two, live.client("2.0.0") as elsewhere:
        await one.join("bp", broadcast={"ack": True, "self": True})
        await two.join("bp")
        await elsewhere.join("other")
        await one.push("realtime:bp", "broadcast", HELLO, "1")
        assert await one.next() == [None, None, "realtime:bp", "broadcast", HELLO]
        assert await one.next() == [None, "2", "realtime:bp", "phx_reply", {"status": "ok", "response": {}}]
        data = (await two.next())[4]
        assert data[:5] == bytes([4, 11, 5, 0, 1])
        assert (data[5:21], json.loads(data[21:])) == (b"realtime:bphello", {"x": "é"})
        assert await two.silent()
        assert await elsewhere.silent()


async def test_a_binary_broadcast_reaches_both_versions(live: Live) -> None:
    async with live.client("1.0.0") as one, live.client("2.0.0") as two:
        await one.join("bp")
        await two.join("bp", broadcast={"ack": True, "self": True})
        await two.socket.send_bytes(in_binary("realtime:bp", "hello", b'{"x":1}', is_json=True))
        assert (await two.next())[4][21:] == b'{"x":1}'
        assert await two.next() == ["1", "2", "realtime:bp", "phx_reply", {"status": "ok", "response": {}}]
        assert (await one.next())[4] == {"event": "hello", "payload": {"x": 1}, "type": "broadcast"}


async def test_bytes_that_claim_to_be_json_are_not_passed_on(live: Live) -> None:
    async with live.client("1.0.0") as one, live.client("2.0.0") as two:
        await one.join("bp")
        await two.join("bp")
        forged = b'{}},"topic":"realtime:other"}'
        await two.socket.send_bytes(in_binary("realtime:bp", "hello", forged, is_json=True))
        await two.socket.send_bytes(in_binary("realtime:bp", "hello", b"\x00\xff", is_json=False))
        assert await two.silent()
        assert await one.silent()


async def test_who_is_present_is_told_to_all_and_who_leaves_too(live: Live) -> None:
    async with live.client() as one, live.client("2.0.0") as two:
        await one.join("p", presence={"enabled": True, "key": "k1"})
        assert await one.until("presence_state") == {}
        await two.join("p", presence={"enabled": True, "key": "k2"})
        assert await two.until("presence_state") == {}
        await one.push("realtime:p", "presence", {"type": "presence", "event": "track", "payload": {"who": "a"}})
        assert (await one.until("phx_reply"))["status"] == "ok"
        assert await one.until("presence_diff") == await two.until("presence_diff")
        told = two.frames[-1][4]
        assert told == {"joins": {"k1": {"metas": [{"phx_ref": ANY, "who": "a"}]}}, "leaves": {}}
        await one.push("realtime:p", "presence", {"type": "presence", "event": "TRACK", "payload": {"who": "b"}})
        again = await two.until("presence_diff")
        assert again["leaves"] == told["joins"]
        assert again["joins"]["k1"]["metas"][0] == {
            "phx_ref": ANY,
            "phx_ref_prev": told["joins"]["k1"]["metas"][0]["phx_ref"],
            "who": "b",
        }
        async with live.client() as late:
            await late.join("p", presence={"enabled": True, "key": "k3"})
            assert await late.until("presence_state") == again["joins"]
        await one.push("realtime:p", "phx_leave", {})
        assert await two.until("presence_diff") == {"joins": {}, "leaves": again["joins"]}


async def test_what_is_no_tracking_is_refused(live: Live) -> None:
    async with live.client() as client:
        await client.join("p", presence={"enabled": True, "key": "k"})
        await client.push("realtime:p", "presence", {"type": "presence", "event": "track", "payload": "x"})
        refused = {"status": "error", "response": {"reason": "Presence track payload must be a map"}}
        assert await client.until("phx_reply") == refused
        await client.push("realtime:p", "presence", {"type": "presence", "event": "dance"})
        assert (await client.until("phx_reply"))["status"] == "error"


async def closed(client: Client) -> int | None:
    message = await client.socket.receive(timeout=5)
    assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
    return client.socket.close_code


async def test_a_silent_socket_is_closed_and_one_that_pings_is_not(tables: Any, database_url: str) -> None:
    async with (
        running(database_url, Limits(idle_s=0.4)) as live,
        live.client() as idle,
        live.client() as pinging,
    ):
        while not idle.socket.closed:
            await pinging.socket.ping()
            try:
                assert await idle.socket.receive(timeout=0.1)
            except TimeoutError:
                continue
        assert idle.socket.close_code == 1000
        assert await pinging.silent()


async def test_a_frame_over_five_megabytes_ends_its_socket_and_no_other(live: Live) -> None:
    async with live.client() as other:
        async with live.client() as client:
            await client.socket.send_str("x" * 5_000_000)
            assert await client.silent()
            with contextlib.suppress(ConnectionError):
                await client.socket.send_str("x" * 5_000_001)
            assert await closed(client) != aiohttp.WSCloseCode.OK
        assert await other.silent()


async def test_a_stopping_server_closes_its_sockets_and_leaves_no_slot(
    tables: asyncpg.Connection[asyncpg.Record], database_url: str, live: Live
) -> None:
    slots = "select count(*) from pg_replication_slots where database = current_database()"
    server = RealtimeServer(database_url, live.keys, live.faults)
    await server.start()
    async with serving(server) as url:
        async with aiohttp.ClientSession() as session:
            query = {"apikey": live.keys.anon_key}
            async with session.ws_connect(url, params=query) as socket:
                client = Client(socket, "1.0.0")
                await client.subscribe("a", ROWS)
                assert await tables.fetchval(slots) == 2
                async with asyncio.TaskGroup() as group:
                    group.create_task(server.close())
                    assert await closed(client) == 1012
        async with aiohttp.ClientSession() as session, session.get(url, params=query) as answer:
            assert answer.status == 503
    assert await tables.fetchval(slots) == 1


async def test_a_client_that_vanishes_leaves_no_subscription(live: Live, tables: Any) -> None:
    async with live.client() as client:
        await client.subscribe("a", ROWS)
        assert live.server._registry._live
    async with live.client() as witness:
        await witness.join("b")
        assert await witness.silent()
    assert not live.server._registry._live

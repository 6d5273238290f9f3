"""What tests may do to Realtime's events and sockets on purpose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from devstack.faults import EventFault
from tests.devstack.live.conftest import Live

Written = Callable[..., Awaitable[Any]]
ROWS = {"event": "*", "schema": "public", "table": "rows"}
HELLO = {"type": "broadcast", "event": "hello", "payload": {"x": 1}}


async def prompts(client: Any, count: int) -> list[str]:
    return [(await client.change())["record"]["prompt"] for _ in range(count)]


async def test_a_change_is_lost_doubled_or_late_as_it_was_asked_for(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.subscribe("a", ROWS)
        live.faults.hurt_events(EventFault(kind="lose", nth=1))
        live.faults.hurt_events(EventFault(kind="duplicate", nth=1))
        live.faults.hurt_events(EventFault(kind="delay", nth=1, delay_s=0.3))
        for prompt in ("lost", "twice", "late", "on time"):
            await written("insert into rows (prompt) values ($1)", prompt)
        assert await prompts(client, 4) == ["twice", "twice", "on time", "late"]


async def test_only_the_topic_that_was_named_is_hurt(live: Live) -> None:
    async with live.client() as one, live.client() as two:
        live.faults.hurt_events(EventFault(kind="lose", topic="realtime:hurt", times=None))
        for topic in ("hurt", "whole"):
            await one.join(topic)
            await two.join(topic, broadcast={"ack": True})
            await two.push(f"realtime:{topic}", "broadcast", HELLO)
            assert (await two.until("phx_reply"))["status"] == "ok"
        assert await one.until("broadcast") == HELLO
        assert one.frames[-1][2] == "realtime:whole"


async def test_a_frozen_server_writes_nothing_and_goes_on_afterwards(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.subscribe("a", ROWS)
        live.faults.freeze_sockets()
        await written("insert into rows (prompt) values ('kept')")
        await live.server.caught_up()
        assert client.socket._reader is not None
        assert not client.socket._reader._buffer
        live.faults.thaw_sockets()
        assert await prompts(client, 1) == ["kept"]

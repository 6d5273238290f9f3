"""What a project may do per second and at once, and what happens above it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from devstack.live.limits import Limits, Rate
from tests.devstack.live.conftest import Live, running

ROWS = {"event": "*", "schema": "public", "table": "rows"}
HELLO = {"type": "broadcast", "event": "hello", "payload": {"x": 1}}


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_rate_is_an_average_so_that_a_burst_is_allowed() -> None:
    clock = Clock()
    rate = Rate(per_s=2, window_s=10, clock=clock)
    rate.add(20)
    assert not rate.exceeded
    rate.add(1)
    assert rate.exceeded
    clock.now_s = 9.9
    assert rate.exceeded
    clock.now_s = 10
    assert not rate.exceeded


def test_a_batch_may_not_bring_more_than_a_second_may() -> None:
    rate = Rate(per_s=2, window_s=10, clock=Clock())
    assert rate.fits(2)
    rate.add(1)
    assert not rate.fits(2)
    assert rate.fits(1)


async def test_changes_above_the_rate_are_lost_and_nobody_is_told(tables: Any, database_url: str) -> None:
    clock = Clock()
    async with running(database_url, Limits(events_per_s=1, window_s=2), clock) as live, live.client() as client:
        await client.subscribe("a", ROWS)
        await tables.execute("insert into rows (prompt) select 'burst' from generate_series(1, 3)")
        assert [(await client.change())["record"]["prompt"] for _ in range(3)] == ["burst"] * 3
        await tables.execute("insert into rows (prompt) values ('lost')")
        await live.server.caught_up()
        assert await client.silent()
        clock.now_s = 3
        await tables.execute("insert into rows (prompt) values ('later')")
        assert (await client.change())["record"]["prompt"] == "later"


async def test_broadcasts_over_http_above_the_rate_are_refused(tables: Any, database_url: str) -> None:
    message = {"topic": "t", "event": "e", "payload": {}}
    async with running(database_url, Limits(events_per_s=1, window_s=2)) as live, aiohttp.ClientSession() as http:
        url = live.url.replace("websocket", "api/broadcast")
        headers = {"authorization": f"Bearer {live.keys.anon_key}"}

        async def post(count: int) -> tuple[int, str]:
            async with http.post(url, json={"messages": [message] * count}, headers=headers) as answer:
                return answer.status, await answer.text()

        assert await post(2) == (429, '{"message":"Too many messages to broadcast, please reduce the batch size"}')
        assert (await post(1))[0] == 202


async def test_too_many_joins_end_the_socket(tables: Any, database_url: str) -> None:
    async with running(database_url, Limits(joins_per_s=1, window_s=2), Clock()) as live:
        async with live.client() as client:
            for name in ("a", "b", "c"):
                assert (await client.join(name))["status"] == "ok"
            refused = await client.join("d")
            assert refused["response"] == {"reason": "ClientJoinRateLimitReached: Too many joins per second"}
            assert (await client.socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        params = {"apikey": live.keys.anon_key}
        async with aiohttp.ClientSession() as http, http.get(live.url, params=params) as answer:
            assert (answer.status, await answer.json()) == (429, {"error": "Too many joins per second"})


async def test_too_many_connections_are_refused(tables: Any, database_url: str) -> None:
    async with running(database_url, Limits(connections=1)) as live, live.client():
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with live.client():
                pass
        assert refused.value.status == 429


async def test_a_broadcast_that_is_too_large_is_not_passed_on(tables: Any, database_url: str) -> None:
    async with running(database_url, Limits(broadcast_bytes=10)) as live, live.client() as one, live.client() as two:
        await one.join("t", broadcast={"ack": True})
        await two.join("t")
        await one.push("realtime:t", "broadcast", HELLO | {"payload": {"x": "too long"}}, "1")
        assert (await one.until("phx_reply"))["status"] == "error"
        await one.push("realtime:t", "broadcast", HELLO, "1")
        assert await two.until("broadcast") == HELLO


async def test_a_changed_publication_makes_every_subscription_anew(tables: Any, database_url: str) -> None:
    async with (
        running(database_url, Limits(publication_check_s=0.05)) as live,
        live.client() as stays,
        live.client() as goes,
    ):
        await stays.subscribe("stays", ROWS)
        await goes.subscribe("goes", {**ROWS, "table": "owned"})
        await tables.execute("alter publication supabase_realtime drop table owned")
        assert (await stays.until("system"))["message"] == "Subscribed to PostgreSQL"
        assert (await goes.until("system"))["message"].startswith("Unable to subscribe to changes")
        await tables.execute("insert into rows (prompt) values ('still told')")
        assert (await stays.change())["record"]["prompt"] == "still told"
        # What was told to be gone is not healed.
        await tables.execute("alter publication supabase_realtime add table owned")
        assert (await stays.until("system"))["status"] == "ok"
        assert await goes.silent()


async def test_forgotten_subscriptions_are_silent_until_a_new_token_comes(live: Live, tables: Any) -> None:
    async with live.client() as client:
        await client.subscribe("a", ROWS)
        live.server.forget_subscriptions()
        await tables.execute("insert into rows (prompt) values ('lost')")
        await live.server.caught_up()
        assert await client.silent()
        await client.push("realtime:a", "access_token", {"access_token": live.user()}, "1")
        assert (await client.until("system"))["status"] == "ok"
        await tables.execute("insert into rows (prompt) values ('healed')")
        assert (await client.change())["record"]["prompt"] == "healed"


async def test_an_administrators_reload_is_told_before_the_socket_ends(live: Live) -> None:
    async with live.client("2.0.0") as client:
        await client.subscribe("a", ROWS)
        told = {"message": "Server requested disconnect", "status": "ok", "extension": "system"}
        async with asyncio.TaskGroup() as group:
            group.create_task(live.server.disconnect_all())
            assert await client.next() == ["1", None, "realtime:a", "system", told]
            message = await client.socket.receive(timeout=5)
            assert client.socket.close_code == message.data == 1012

"""The page's watcher: what it decides alone, and how it behaves with the official client against the stack."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from devstack.stack import Stack
from tests.support.node import Telling, run_node, telling
from tests.support.relay import Relay, open_relay

WATCHED = """
create table public.watched (
  id uuid primary key, user_id uuid not null, status text not null, progress int, prompt text, version bigint not null
);
alter table public.watched enable row level security;
create policy watched_by_owner on public.watched for select to authenticated using ((select auth.uid()) = user_id);
grant select on public.watched to authenticated;
alter publication supabase_realtime add table public.watched;
"""
NEVER_MS = 3_600_000
ONLY_REALTIME = {"pollMs": NEVER_MS, "livePollMs": NEVER_MS}
LARGE_TEXT = "".join(f"{number:x}" for number in range(20_000))  # stored out of line, so an update leaves it out

Change = Callable[..., Awaitable[None]]


@pytest.fixture
async def row_id(connection: asyncpg.Connection[asyncpg.Record]) -> str:
    """The id of a row that is not there yet, in a table of the test's own."""
    await connection.execute(WATCHED)
    return str(uuid4())


@pytest.fixture
async def relay(row_id: str, stack: Stack) -> AsyncIterator[Relay]:
    async with open_relay(stack.url) as opened:
        yield opened


@pytest.fixture
def change(connection: asyncpg.Connection[asyncpg.Record], row_id: str) -> Change:
    """Updates the row as a worker would, one version up."""

    async def update(**columns: Any) -> None:
        names = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
        await connection.execute(
            f"update public.watched set version = version + 1, {names} where id = $1", row_id, *columns.values()
        )

    return update


def environment(relay: Relay, stack: Stack, row_id: str, **options: Any) -> dict[str, str]:
    return {
        "SUPABASE_URL": relay.url,
        "SUPABASE_ANON_KEY": stack.keys.anon_key,
        "ROW_ID": row_id,
        "OPTIONS": json.dumps(options),
    }


@pytest.fixture
def insert(connection: asyncpg.Connection[asyncpg.Record], row_id: str) -> Callable[[Telling], Awaitable[None]]:
    """Inserts the row for the user that the script signed in."""

    async def row(script: Telling) -> None:
        user = (await script.until(lambda line: "user" in line))["user"]
        await connection.execute(
            "insert into public.watched values ($1, $2, 'queued', 0, $3, 1)", row_id, user, LARGE_TEXT
        )

    return row


def live(line: dict[str, Any]) -> bool:
    return line.get("connection") == "live"


def polling(line: dict[str, Any]) -> bool:
    return line.get("connection") == "polling"


def progressed(percent: int) -> Callable[[dict[str, Any]], bool]:
    return lambda line: "row" in line and line["row"]["progress"] == percent


async def expect_finished(script: Telling, status: str) -> dict[str, Any]:
    """The watch ends with this status and leaves no timer and no channel behind."""
    row = await expect_ended(script)
    assert row is not None
    assert row["status"] == status
    return row


async def expect_ended(script: Telling) -> dict[str, Any] | None:
    told = await script.until(lambda line: "finished" in line)
    assert told["channels"] == 0
    assert told["timersEver"] > 0
    assert told["timers"] == 0
    row: dict[str, Any] | None = told["finished"]
    return row


async def test_the_watcher_merges_by_version_and_never_loses_a_column() -> None:
    printed = await run_node("--test", "tests/page/watch.test.mjs")
    assert "fail 0" in printed


async def test_a_row_is_followed_from_before_its_insert_to_its_end_by_realtime_alone(
    relay: Relay, stack: Stack, row_id: str, insert: Callable[[Telling], Awaitable[None]], change: Change
) -> None:
    async with telling("tests/page/watched_row.mjs", **environment(relay, stack, row_id, **ONLY_REALTIME)) as script:
        await insert(script)
        await script.until(live)
        await change(status="processing", progress=40)
        seen = await script.until(progressed(40))
        assert seen["row"]["prompt"] == len(LARGE_TEXT)
        await change(status="completed", progress=100)
        finished = await expect_finished(script, "completed")
        assert finished["prompt"] == len(LARGE_TEXT)


async def test_what_happened_before_the_subscription_lived_is_read_when_it_lives(
    relay: Relay, stack: Stack, row_id: str, insert: Callable[[Telling], Awaitable[None]], change: Change
) -> None:
    stack.faults.subscribe_delay_s = 2.0
    async with telling("tests/page/watched_row.mjs", **environment(relay, stack, row_id, **ONLY_REALTIME)) as script:
        await insert(script)
        await script.until(lambda line: line.get("reads") == 2)  # at the start, and on SUBSCRIBED
        await change(status="completed", progress=100)
        await expect_finished(script, "completed")


async def test_a_mute_realtime_is_made_up_for_by_polling(
    relay: Relay, stack: Stack, row_id: str, insert: Callable[[Telling], Awaitable[None]], change: Change
) -> None:
    options = {"pollMs": 200, "livePollMs": 200}
    async with telling("tests/page/watched_row.mjs", **environment(relay, stack, row_id, **options)) as script:
        await insert(script)
        await script.until(live)
        stack.faults.realtime_muted = True
        await change(status="processing", progress=70)
        await script.until(progressed(70))
        await change(status="failed", progress=70)
        await expect_finished(script, "failed")


async def test_after_a_cut_connection_the_row_is_polled_and_then_live_again(
    relay: Relay, stack: Stack, row_id: str, insert: Callable[[Telling], Awaitable[None]], change: Change
) -> None:
    options = {"pollMs": 200, "livePollMs": NEVER_MS, "retryMs": 100}
    async with telling("tests/page/watched_row.mjs", **environment(relay, stack, row_id, **options)) as script:
        await insert(script)
        await script.until(live)
        relay.refusing = True
        relay.cut()
        await script.until(polling)
        await change(status="processing", progress=30)
        relay.refusing = False
        await script.until(live)
        await change(progress=60)
        await script.until(progressed(60))
        await change(status="completed", progress=100)
        await expect_finished(script, "completed")


async def test_a_deleted_row_ends_the_watch(
    relay: Relay,
    stack: Stack,
    row_id: str,
    insert: Callable[[Telling], Awaitable[None]],
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    async with telling("tests/page/watched_row.mjs", **environment(relay, stack, row_id, **ONLY_REALTIME)) as script:
        await insert(script)
        await script.until(live)
        await connection.execute("delete from public.watched where id = $1", row_id)
        assert await expect_ended(script) is None

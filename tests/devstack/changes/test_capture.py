"""The capture hands over what was committed, once and in order, and comes back after PostgreSQL does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from devstack.changes.capture import Capture
from devstack.changes.pgoutput import Change

WITHIN_S = 20.0
SLOTS = "select slot_name, active_pid from pg_replication_slots where database = current_database()"


class Receiver:
    """Keeps what a capture delivers."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[Change] = asyncio.Queue()

    async def deliver(self, changes: list[Change]) -> None:
        for change in changes:
            self.changes.put_nowait(change)

    async def next(self) -> Change:
        async with asyncio.timeout(WITHIN_S):
            return await self.changes.get()


@asynccontextmanager
async def capturing(database_url: str) -> AsyncIterator[tuple[Capture, Receiver]]:
    receiver = Receiver()
    capture = Capture(database_url)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(capture.run(receiver.deliver))
        await capture.caught_up()
        yield capture, receiver
        capture.stop()


@pytest.fixture
async def table(connection: asyncpg.Connection[asyncpg.Record]) -> asyncpg.Connection[asyncpg.Record]:
    await connection.execute("create table public.t (id int primary key, v text, big text)")
    await connection.execute("alter publication supabase_realtime add table public.t")
    return connection


async def test_changes_come_once_and_in_commit_order_without_a_kick(database_url: str, table: Any) -> None:
    async with capturing(database_url) as (_, receiver):
        await table.execute("insert into t values (1, 'a'), (2, null)")
        await table.execute("update t set v = 'b' where id = 1")
        await table.execute("update t set id = 3 where id = 2")
        await table.execute("truncate t; insert into t values (4)")
        found = [await receiver.next() for _ in range(5)]
    assert [(change.kind, change.new.get("id")) for change in found] == [
        ("INSERT", "1"),
        ("INSERT", "2"),
        ("UPDATE", "1"),
        ("UPDATE", "3"),
        ("INSERT", "4"),
    ]
    assert [change.old for change in found] == [{}, {}, {"id": "1"}, {"id": "2"}, {}]
    assert found[1].new == {"id": "2", "v": None, "big": None}
    assert found[0].committed_at == found[1].committed_at < found[2].committed_at
    assert receiver.changes.empty()


async def test_a_deletion_carries_its_identity_and_an_update_omits_what_it_did_not_touch(
    database_url: str, table: Any
) -> None:
    await table.execute("insert into t select 1, 'é', string_agg(md5(n::text), '') from generate_series(1, 500) n")
    async with capturing(database_url) as (_, receiver):
        await table.execute("update t set v = 'x'")
        await table.execute("delete from t")
        update, delete = await receiver.next(), await receiver.next()
    assert update.new == {"id": "1", "v": "x"}
    assert (delete.new, delete.old) == ({}, {"id": "1"})


async def test_a_column_added_later_is_seen(database_url: str, table: Any) -> None:
    async with capturing(database_url) as (_, receiver):
        await table.execute("insert into t (id) values (1)")
        await receiver.next()
        await table.execute("alter table t add column w int default 7")
        await table.execute("insert into t (id) values (2)")
        assert (await receiver.next()).new["w"] == "7"


async def test_the_slot_is_made_anew_when_its_session_is_killed(database_url: str, table: Any) -> None:
    async with capturing(database_url) as (capture, receiver):
        lost = await table.fetchrow(SLOTS)
        await table.fetchval("select pg_terminate_backend($1)", lost["active_pid"])
        capture.kick()
        while (found := await table.fetchrow(SLOTS)) is None or found["slot_name"] == lost["slot_name"]:
            await asyncio.sleep(0.01)
        await capture.caught_up()
        await table.execute("insert into t (id) values (1)")
        assert (await receiver.next()).new["id"] == "1"


async def test_a_missing_publication_is_waited_for(database_url: str, table: Any) -> None:
    await table.execute("drop publication supabase_realtime")
    async with capturing(database_url) as (capture, receiver):
        await table.execute("insert into t (id) values (1)")
        capture.kick()
        await table.execute("create publication supabase_realtime for table t")
        number = 2
        while receiver.changes.empty():
            await table.execute("insert into t (id) values ($1)", number)
            number += 1
            await asyncio.sleep(0.05)
        assert (await receiver.next()).kind == "INSERT"


async def test_a_stopped_capture_leaves_no_slot_and_no_session(database_url: str, table: Any) -> None:
    async with capturing(database_url):
        assert len(await table.fetch(SLOTS)) == 1
    assert await table.fetch(SLOTS) == []


async def test_much_written_elsewhere_does_not_make_each_poll_slow(database_url: str, table: Any) -> None:
    read = "select (pg_current_wal_lsn() - restart_lsn)::bigint from pg_replication_slots where slot_name = $1"
    async with capturing(database_url) as (capture, receiver):
        slot = (await table.fetchrow(SLOTS))["slot_name"]
        await table.execute("create table elsewhere as select n, repeat('x', 200) from generate_series(1, 100000) n")
        assert await table.fetchval(read, slot) > 20_000_000
        async with asyncio.timeout(WITHIN_S):
            while await table.fetchval(read, slot) > 1_000_000:
                await table.execute("insert into t (id) select coalesce(max(id), 0) + 1 from t")
                capture.kick()
                await receiver.next()

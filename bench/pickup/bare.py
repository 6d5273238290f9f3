"""The shortest loop there is: trigger, NOTIFY, `for update skip locked`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from bench.pickup.pace import pause
from devstack.stack import Stack

TABLE = """
create table bench_queue (
  id bigint generated always as identity primary key,
  created_at timestamptz default clock_timestamp(),
  claimed_at timestamptz
);
create function bench_notify() returns trigger language plpgsql
as $$ begin perform pg_notify('bench', ''); return null; end $$;
create trigger bench_notify after insert on bench_queue for each statement execute function bench_notify()
"""
CLAIM = """
update bench_queue set claimed_at = clock_timestamp()
where id = (select id from bench_queue where claimed_at is null limit 1 for update skip locked)
returning extract(epoch from created_at) as created
"""


async def bare_pickups(stack: Stack, count: int) -> list[float]:
    """From the insert to the moment the claimed row is in the loop's hands."""
    async with bare_queue(stack.database_url) as (writer, reader, woken):
        samples_ms: list[float] = []
        for _ in range(count):
            await pause()
            woken.clear()
            await writer.execute("insert into bench_queue default values")
            await woken.wait()
            taken = await reader.fetchrow(CLAIM)
            samples_ms.append(1000 * (time.time() - float(taken["created"])))
        return samples_ms


@asynccontextmanager
async def bare_queue(database_url: str) -> AsyncIterator[tuple[Any, Any, asyncio.Event]]:
    """A table that notifies, a connection that writes and one that listens."""
    writer, reader = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    await writer.execute(TABLE)
    woken = asyncio.Event()
    await reader.add_listener("bench", lambda *_: woken.set())
    try:
        yield writer, reader, woken
    finally:
        await writer.close()
        await reader.close()

"""The bare loop: one plain table, two updates a batch; settled on connections of their own if the batches overlap."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import asyncpg
from phases import SETTLERS, Drain, Settle, arguments, is_overlapped, work_off

TABLE = """
create table if not exists public.bare (
  id bigint generated always as identity primary key, status text not null default 'queued', params jsonb not null,
  worker uuid, started_at timestamptz, finished_at timestamptz
) with (fillfactor = 70);
create index if not exists bare_queued on public.bare (id) where status = 'queued';
"""
FILL = """
insert into public.bare (params)
select jsonb_build_object('prompt', 'a portrait in an office ' || n, 'width', 512, 'seed', n)
from generate_series(1, $1::int) as n
"""
CLAIM = """
update public.bare set status = 'processing', worker = $1, started_at = now()
where id = any(array(select id from public.bare where status = 'queued' order by id limit $2 for update skip locked))
returning id, params
"""
COMPLETE = "update public.bare set status = 'completed', finished_at = now() where id = any($1::bigint[])"


async def main() -> None:
    dsn, count, batch = arguments()
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLE)
    await connection.execute(FILL, count)
    await connection.execute("vacuum analyze public.bare")
    settlers = [await asyncpg.connect(dsn) for _ in range(SETTLERS)] if is_overlapped() else [connection]
    taking, worker = await connection.prepare(CLAIM), uuid4()

    async def claim() -> Sequence[Any]:
        rows: Sequence[Any] = await taking.fetch(worker, batch)
        return rows

    async def settling(settler: Any) -> Settle:
        completing = await settler.prepare(COMPLETE)

        async def settle(rows: Sequence[Any]) -> None:
            await completing.fetch([row["id"] for row in rows])

        return settle

    settles = [await settling(settler) for settler in settlers]
    drain = Drain()
    await work_off(claim, settles, count)
    drain.done(count)
    for each in {connection, *settlers}:
        await each.close()


asyncio.run(main())

"""Listener: what a worker calls, claim_sessions and complete_sessions; settled on connections of
their own if the batches overlap, as the daemon settles each session by a call of its own."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from phases import SETTLERS, Drain, Settle, arguments, is_overlapped, work_off

OWNERS = "select coalesce(array_agg(id), $1) from (select id from auth.users order by id limit 50) as known"
FILL = """
insert into public.headshot_sessions (user_id, prompt, width, height, seed)
select ($1::uuid[])[1 + n % cardinality($1)], 'a portrait in an office ' || n, 512, 512, n
from generate_series(1, $2::int) as n
"""


async def main() -> None:
    dsn, count, batch = arguments()
    connection = await asyncpg.connect(dsn)
    owners = await connection.fetchval(OWNERS, [UUID(int=n) for n in range(1, 21)])
    for owner in owners:
        await connection.execute("select public.grant_credits($1, $2, $3, 'bench')", owner, count, str(uuid4()))
    await connection.execute(FILL, owners, count)
    await connection.execute("vacuum analyze listener.sessions, public.headshot_sessions, listener.events")
    worker = uuid4()
    await connection.execute(
        "select public.register_worker($1, 'bench', '{headshot}', $2, '{}', '0', 300)", worker, batch
    )
    settlers = [await asyncpg.connect(dsn) for _ in range(SETTLERS)] if is_overlapped() else [connection]
    for each in {connection, *settlers}:
        await each.execute("set role service_role")
    taking = await connection.prepare("select * from public.claim_sessions($1, $2, '{headshot}', $3)")

    async def claim() -> Sequence[Any]:
        rows: Sequence[Any] = await taking.fetch(worker, uuid4(), batch)
        return rows

    async def settling(settler: Any) -> Settle:
        completing = await settler.prepare("select * from public.complete_sessions($1, $2)")

        async def settle(rows: Sequence[Any]) -> None:
            items = [{"session": str(row["session"]), "attempt": row["attempt"], "result": {"seed": 7}} for row in rows]
            answers = await completing.fetch(worker, json.dumps(items))
            if any(answer["outcome"] != "applied" for answer in answers):
                raise AssertionError("a session was not applied")

        return settle

    settles = [await settling(settler) for settler in settlers]
    drain = Drain()
    await work_off(claim, settles, count)
    drain.done(count)
    for each in {connection, *settlers}:
        await each.close()


asyncio.run(main())

"""Fills a project with finished sessions, as if it had run for long: rows, sessions and their events."""

from __future__ import annotations

import asyncpg

OWNER = "00000000-0000-4000-8000-000000000001"
ROWS = """
insert into public.headshot_sessions (id, user_id, prompt, status, progress, result, version, started_at, finished_at)
select md5('row' || n)::uuid, $1, 'a portrait', 'completed', 100, '{"artifacts": []}', 2, now(), now()
from generate_series(1, $2::int) as n
"""
SESSIONS = """
insert into listener.sessions (
  id, table_id, row_id, kind, owner, status, params, cost, start_tag, fair_tag, attempt, max_attempts, time_limit_s,
  worker, claim_id, request_id, progress, result, started_at, finished_at
)
select
  md5('session' || n)::uuid, registry.id, md5('row' || n)::uuid, registry.kind, $1, 'completed',
  '{"prompt": "a portrait"}', 0, 0, 0, 1, 3, 300, gen_random_uuid(), gen_random_uuid(), 'bench', 100, '{}', now(), now()
from generate_series(1, $2::int) as n
cross join listener.session_tables as registry
where registry.relation = 'public.headshot_sessions'::regclass
"""
EVENTS = """
insert into listener.events (session, event, occurrence, kind, owner, properties, at)
select md5('session' || n)::uuid, told.event, told.occurrence, 'headshot', $1, '{"character_id": null}', now()
from generate_series(1, $2::int) as n
cross join (values ('generation_started', '1'), ('generation_completed', '')) as told (event, occurrence)
"""


async def add_finished(dsn: str, count: int) -> None:
    """Insert so many; triggers and foreign keys do not run."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("set session_replication_role = replica")
    for statement in (ROWS, SESSIONS, EVENTS):
        await connection.execute(statement, OWNER, count)
    await connection.execute("vacuum analyze")
    await connection.execute("checkpoint")
    await connection.close()

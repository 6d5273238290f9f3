"""What happened beside the sockets: the rows that were written, and what the notes tell of.

A frame tells its cause: the row is written as the frame shows it, with its own id and times. What no frame shows is
written down here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import asyncpg

from tests.conformance.realtime_frames import Seen

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

TABLES = """
create type public.mood as enum ('a', 'b');
create table public.types_t (id int8 primary key, n numeric, f float8, b bytea, i interval, d date, ts timestamp,
  tz timestamptz, e public.mood, ua uuid[], ia int4[], j json, jb jsonb);
alter table public.nopk replica identity full;
alter publication supabase_realtime add table public.generation_sessions, public.private_sessions, public.types_t;
create policy listen on realtime.messages for select to anon using (realtime.topic() = 'jobs');
"""
FRESH = """
truncate public.generation_sessions, public.private_sessions, public.nopk, public.types_t, realtime.messages;
alter table public.generation_sessions replica identity default;
grant select on public.generation_sessions, public.private_sessions, public.nopk, public.types_t, public.unpublished
  to anon, authenticated, service_role;
alter publication supabase_realtime set table public.generation_sessions, public.private_sessions, public.types_t;
"""
SCRIPTS: dict[str, Sequence[str]] = {
    # In the order in which the changes are first seen.
    "payload-types-and-limits": (
        "insert into generation_sessions (id, big, prompt, created_at) select '2396ecf6-ad63-46f3-b86d-b8c558ade5d2',"
        " string_agg(md5(n::text), ''), 'toast', '2026-11-20T07:35:16.472692+00:00' from generate_series(1, 2000) n",
        "update generation_sessions set status = 'x'",
        "update generation_sessions set big = repeat('x', 1100000)",
        "alter table generation_sessions replica identity full;update generation_sessions set status = 'y', big = null",
        "update generation_sessions set status = 'z'",
        "delete from generation_sessions; alter table generation_sessions replica identity default",
    ),
    "types": (
        r"""insert into types_t values (9007199254740993, 123456789012345678901234567890.123456789, 'NaN', '\xdeadbeef',
        '1 day 02:03', '2026-11-20', '2026-11-20 10:00:00.123456', '2026-11-20 10:00:00.123456+02', 'b',
        '{11111111-1111-1111-1111-111111111111}', '{1,null,3}', '{"a": 1.0}', '{"u": "h\u00e9\u2028"}')""",
        "insert into types_t (id, tz) values (2, 'infinity')",
    ),
}
"""Where the rows that frames show are not enough to write them."""


async def write(database: Connection, changes: Sequence[dict[str, Any]]) -> None:
    """Write rows as frames show them, in one transaction."""
    async with database.transaction():
        for change in changes:
            await _write(database, change)


async def _write(database: Connection, change: dict[str, Any]) -> None:
    table = f'"{change["schema"]}"."{change["table"]}"'
    row = json.dumps(change.get("record") or change.get("old_record"))
    key = (change.get("record") or change["old_record"])["id"]
    if change["type"] == "INSERT":
        await database.execute(f"insert into {table} select * from jsonb_populate_record(null::{table}, $1)", row)
        return
    missing = not await database.fetchval(f"select exists (select from {table} where id::text = $1)", str(key))
    if change["type"] == "UPDATE":
        names = ", ".join(f'"{name}"' for name in change["record"])
        await database.execute(
            f"update {table} t set ({names}) = (select {names} from jsonb_populate_record(null::{table}, $1))"
            " where id::text = $2",
            row,
            str(key),
        )
        return
    if missing:
        # It came and went between two looks at the log.
        await database.execute(
            f"insert into {table} (id, user_id) values ($1, 'aaaaaaaa-0000-4000-8000-000000000001')", key
        )
    await database.execute(f"delete from {table} where id::text = $1", str(key))


def moment(seen: Seen) -> str | None:
    """What the frames of one transaction have in common; None when the frame does not tell."""
    change = seen.change
    return None if change is None else change["commit_timestamp"]


def moments(frames: Sequence[Seen], of: Seen) -> Iterator[str]:
    """The moments of the frames that tell of the same table, for one that tells no moment."""
    for seen in frames:
        change = seen.change
        if change and of.change and change["table"] == of.change["table"] and change["commit_timestamp"]:
            yield change["commit_timestamp"]


def transaction(frames: Sequence[Seen], at: str) -> list[dict[str, Any]]:
    """The changes of one moment, each once, in their order."""
    # Who may see fewer columns is told of the same row.
    fullest: dict[tuple[str, str], dict[str, Any]] = {}
    for seen in frames:
        change = seen.change
        if change and change["commit_timestamp"] == at:
            key = change["type"], str((change.get("record") or change["old_record"]).get("id"))
            if key not in fullest or len(change.get("record", ())) > len(fullest[key].get("record", ())):
                fullest[key] = change
    return list(fullest.values())

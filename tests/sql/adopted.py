"""Tables of apps that were there before: made, watched and used as their users would.

Knows SQL only; every table is written here as its app would have written it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import Held, Project, Row

PLAIN = """
create table public.portrait_sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  prompt text
);
alter table public.portrait_sessions enable row level security;
create policy owner_reads on public.portrait_sessions for select to authenticated using (auth.uid() = user_id);
create policy owner_inserts on public.portrait_sessions for insert to authenticated with check (auth.uid() = user_id);
"""
"""The least that an app may have."""

TABLE = "public.portrait_sessions"


async def watch(project: Project, table: str = TABLE, **arguments: Any) -> Row:
    """Watch a table as its owner."""
    arguments = {"kind": "portrait", **arguments}
    names = "".join(f", {name} => ${n}" for n, name in enumerate(arguments, 2))
    answer: Row = await project.value(f"select listener.watch($1::text::regclass{names})", table, *arguments.values())
    return answer


async def refusal(project: Project, table: str = TABLE, **arguments: Any) -> asyncpg.PostgresError:
    """Watch a table that cannot be: the error that says why."""
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError) as refused:
        await watch(project, table, **arguments)
    assert refused.value.detail, "a refusal says what was found"
    assert refused.value.hint, "a refusal says what to do"
    return refused.value


async def insert(project: Project, owner: UUID, table: str = TABLE, **columns: Any) -> UUID:
    """Insert a row as a signed-in user."""
    fields = {"user_id": owner, **columns}
    values = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
    async with project.acting("authenticated", owner) as connection:
        row: UUID = await connection.fetchval(
            f"insert into {table} ({', '.join(fields)}) values ({values}) returning id", *fields.values()
        )
    return row


async def held(project: Project, kind: str = "portrait", worker: UUID | None = None) -> Held:
    """Claim the next session of a kind."""
    worker = worker or await project.worker(kinds=[kind])
    (row,) = await project.claim(worker, 1, uuid4(), kind)
    return Held(worker, row["session"], row["attempt"], row["row_id"])


async def shown(project: Project, row: UUID, table: str = TABLE) -> Row:
    """Read a visible row."""
    return (await project.rows(f"select * from {table} where id = $1", row))[0]

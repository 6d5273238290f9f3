"""A Supabase project as its SQL sees it: roles that act, RPCs as methods, a clock that can be set.

Knows SQL only; knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg

Connection = asyncpg.Connection
Row = dict[str, Any]
SECOND_TABLE = """
insert into listener.kinds (kind, bucket) values ('portrait', 'headshots');
create table public.portrait_sessions (like public.headshot_sessions including all);
insert into listener.session_tables (relation, kind) values ('public.portrait_sessions', 'portrait');
create trigger register after insert on public.portrait_sessions referencing new table as new_rows
for each statement execute function listener.register_sessions();
create trigger withdraw after delete on public.portrait_sessions referencing old table as old_rows
for each statement execute function listener.withdraw_sessions();
grant select, insert, update on public.portrait_sessions to service_role;
"""
"""A table of another kind, adopted by hand."""


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that a worker holds."""

    worker: UUID
    session: UUID
    attempt: int
    row: UUID

    def item(self, **fields: Any) -> Row:
        """The attempt as an RPC's item."""
        return {"session": str(self.session), "attempt": self.attempt, **fields}


async def connect(url: str) -> Connection:
    """Open a superuser's connection that speaks jsonb as Python values."""
    connection = await asyncpg.connect(url)
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    return connection


class Project:
    """One connection to the project; every method is one transaction unless it says otherwise."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @asynccontextmanager
    async def acting(self, role: str, user: UUID | None = None, **headers: str) -> AsyncIterator[Connection]:
        """Do what follows in one transaction as PostgREST does it for a role."""
        claims = {"role": role} | ({"sub": str(user)} if user else {})
        async with self.connection.transaction():
            await self.connection.execute(
                "select set_config('request.jwt.claims', $1, true), set_config('request.headers', $2, true)",
                json.dumps(claims),
                json.dumps(headers),
            )
            await self.connection.execute(f"set local role {role}")
            yield self.connection

    async def rows(self, query: str, *arguments: Any) -> list[Row]:
        """Read as the superuser."""
        return [dict(row) for row in await self.connection.fetch(query, *arguments)]

    async def value(self, query: str, *arguments: Any) -> Any:
        """Read one value as the superuser."""
        return await self.connection.fetchval(query, *arguments)

    async def rpc(self, function: str, **arguments: Any) -> list[Row]:
        """Call a function of public by argument names as service_role."""
        names = ", ".join(f"{name} => ${n}" for n, name in enumerate(arguments, 1))
        async with self.acting("service_role") as connection:
            found = await connection.fetch(f"select * from public.{function}({names})", *arguments.values())
        return [dict(row) for row in found]

    async def answer(self, function: str, **arguments: Any) -> Any:
        """Call a function of public that returns one value."""
        return next(iter((await self.rpc(function, **arguments))[0].values()))

    async def set_clock(self, now: str | datetime | None) -> None:
        """Set the database's time for this connection; None gives the real one back."""
        await self.connection.execute(
            "select set_config('listener.fake_now', $1, false)", "" if now is None else str(now)
        )

    async def insert(self, owner: UUID, count: int = 1, **columns: Any) -> list[UUID]:
        """Insert rows as their owner, in one statement."""
        fields = {"prompt": "a face", **columns}
        names = ", ".join(fields)
        values = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
        async with self.acting("authenticated", owner) as connection:
            found = await connection.fetch(
                f"insert into public.headshot_sessions ({names}) "
                f"select {values} from generate_series(1, {count}) returning id",
                *fields.values(),
            )
        return [row["id"] for row in found]

    async def grant(self, owner: UUID, amount: int) -> None:
        """Give an owner credits."""
        await self.answer("grant_credits", p_owner=owner, p_amount=amount, p_key=str(uuid4()), p_reason="test")

    async def worker(self, lease_s: int = 30, kinds: Iterable[str] = ("headshot",), worker: UUID | None = None) -> UUID:
        """Register a worker."""
        worker = worker or uuid4()
        await self.answer(
            "register_worker",
            p_worker=worker,
            p_name="test",
            p_kinds=list(kinds),
            p_slots=4,
            p_devices={},
            p_version="0",
            p_lease_s=lease_s,
        )
        return worker

    async def claim(self, worker: UUID, limit: int = 1, claim: UUID | None = None, *kinds: str) -> list[Row]:
        """Claim due sessions."""
        return await self.rpc(
            "claim_sessions",
            p_worker=worker,
            p_claim_id=claim or uuid4(),
            p_kinds=list(kinds or ("headshot",)),
            p_limit=limit,
        )

    async def held(self, worker: UUID | None = None, owner: UUID | None = None) -> Held:
        """Insert one row and claim it."""
        worker = worker or await self.worker()
        await self.insert(owner or uuid4())
        (row,) = await self.claim(worker)
        return Held(worker, row["session"], row["attempt"], row["row_id"])

    async def again(self, held: Held) -> Held:
        """Claim the session of an earlier attempt by the same worker."""
        (row,) = await self.claim(held.worker)
        assert row["session"] == held.session
        return Held(held.worker, row["session"], row["attempt"], row["row_id"])

    async def outcomes(self, function: str, worker: UUID, *items: Mapping[str, Any]) -> list[tuple[str, str | None]]:
        """Call a worker RPC with items: (outcome, code) of each."""
        found = await self.rpc(function, p_worker=worker, p_items=[dict(item) for item in items])
        return [(row["outcome"], row["code"]) for row in found]

    async def settle(self, function: str, held: Held, **fields: Any) -> tuple[str, str | None]:
        """Call a worker RPC with one item."""
        (outcome,) = await self.outcomes(function, held.worker, held.item(**fields))
        return outcome

    async def session(self, held: Held | UUID) -> Row:
        """Read a session, given by itself or by its row's id."""
        column, key = ("id", held.session) if isinstance(held, Held) else ("row_id", held)
        return (await self.rows(f"select * from listener.sessions where {column} = $1", key))[0]

    async def row(self, held: Held | UUID) -> Row:
        """Read a visible row."""
        key = held.row if isinstance(held, Held) else held
        return (await self.rows("select * from public.headshot_sessions where id = $1", key))[0]

    async def balance(self, owner: UUID) -> int:
        """Read an owner's balance."""
        return int(await self.value("select balance from listener.accounts where owner = $1", owner))

    async def entries(self, owner: UUID) -> list[str]:
        """List an owner's ledger entries in order."""
        found = await self.rows("select entry from listener.ledger where owner = $1 order by id", owner)
        return [row["entry"] for row in found]


async def until_blocked(watcher: Connection, blocked: Connection, deadline_s: float = 10.0) -> None:
    """Wait until a connection waits for a lock."""
    pid = blocked.get_server_pid()
    async with asyncio.timeout(deadline_s):
        while True:
            waits = await watcher.fetchval("select wait_event_type from pg_stat_activity where pid = $1", pid)
            if waits == "Lock":
                return
            await watcher.execute("select pg_sleep(0.005)")


async def expect_invariants(project: Project) -> None:
    """Nothing contradicts the promises, and every visible row shows its session."""
    assert await project.rows("select * from listener.invariants") == []
    assert await project.rows("select * from listener.credit_audit") == []
    if await project.value("select to_regclass('listener.pack_invariants') is not null"):
        assert await project.rows("select * from listener.pack_invariants") == []
    differing = await project.rows(
        """
        select shown.id, shown.status, state.status as should_be
        from public.headshot_sessions as shown
        inner join listener.visible_states as state on state.row_id = shown.id
        inner join listener.session_tables as registry on registry.id = state.table_id
        where registry.broken_at is null
          and registry.relation = 'public.headshot_sessions'::regclass
          and (shown.status, shown.progress, shown.message, shown.error_code, shown.result, shown.finished_at)
            is distinct from
            (state.status, state.progress, state.message, state.error_code, state.result, state.finished_at)
        """
    )
    assert differing == []
    money = await project.rows(
        """
        select
          coalesce(-sum(amount) filter (where entry = 'charge'), 0) as charged,
          coalesce(sum(amount) filter (where entry = 'refund'), 0) as refunded,
          (
            select coalesce(sum(case status when 'completed' then cost - coalesce(refund_due, 0)
              when 'cancelled' then cost - coalesce(refund_due, cost) else 0 end), 0)
            from listener.sessions where not paid_by_app
          ) as kept,
          (select coalesce(sum(cost), 0) from listener.sessions where finished_at is null and not paid_by_app)
            as still_open
        from listener.ledger
        where session is null or exists (select from listener.sessions where id = session)
        """
    )
    assert money[0]["charged"] == money[0]["kept"] + money[0]["refunded"] + money[0]["still_open"]
    untold = await project.rows(
        """
        select session.id, session.status, session.attempt, told.events
        from listener.sessions as session
        inner join listener.kinds as kind on kind.kind = session.kind and kind.records_events
        cross join lateral (
          select
            coalesce(array_agg(event.event order by event.event), '{}') as events,
            count(*) filter (where event.event = 'generation_queued') as queued,
            count(*) filter (where event.event = 'generation_started') as started,
            count(*) filter (where event.event = 'generation_completed') as completed,
            count(*) filter (where event.event = 'generation_failed') as failed
          from listener.events as event where event.session = session.id
        ) as told
        where told.queued <> 1
          or told.started > session.attempt
          or told.completed <> (session.status = 'completed')::integer
          or told.failed <> (session.status = 'failed')::integer
        """
    )
    assert untold == []

"""What a busy app does to the queue while workers die: it inserts, cancels and deletes, for owners who can pay.

Writes by SQL as the app's users would by REST, because the storm's faults are aimed at HTTP. Knows nothing of faults.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import asyncpg

PROMPTS = ("a calm portrait",) * 6 + ("busy at first", "fails always", "slowly, please", "a portrait")
INSERT = """
insert into public.headshot_sessions (user_id, prompt, width, height) values ($1, $2, 128, 128) returning id
"""
FEED_S = 0.05
HOLDER = "select worker::text from listener.sessions where row_id = $1 and status = 'processing'"
AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.OperatorInterventionError)
OPEN = "select count(*) from listener.sessions where finished_at is null"


class App:
    """Some owners, and what they ask for."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], seed: int, owners: int = 4) -> None:
        self.pool = pool
        self.owners = [uuid4() for _ in range(owners)]
        self.rows: list[UUID] = []
        self._dice = random.Random(seed)

    async def ask(self, query: str, *arguments: object) -> Any:
        """One value; a database that is away is asked again, as long as it takes."""
        while True:
            try:
                return await self.pool.fetchval(query, *arguments)
            except AWAY:
                await asyncio.sleep(0.1)

    async def fund(self, credits_each: int) -> None:
        """Give every owner so many credits."""
        for owner in self.owners:
            await self.pool.execute("select public.grant_credits($1, $2, $3, 'test')", owner, credits_each, str(owner))

    async def insert(self, prompt: str | None = None) -> UUID:
        """Insert a session of some owner."""
        chosen = self._dice.choice(PROMPTS) if prompt is None else prompt
        row: UUID = await self.ask(INSERT, self._dice.choice(self.owners), chosen)
        self.rows.append(row)
        return row

    async def cancel(self, row: UUID) -> None:
        """Cancel as its owner would; it may have ended meanwhile."""
        async with self.pool.acquire() as connection, connection.transaction():
            owner = await connection.fetchval("select user_id from public.headshot_sessions where id = $1", row)
            await connection.execute("select set_config('request.jwt.claims', $1, true)", f'{{"sub": "{owner}"}}')
            await connection.execute("set local role authenticated")
            await connection.execute("select public.cancel_session($1)", row)

    async def keep_busy(self, backlog: int) -> None:
        """Keep so many sessions open, and cancel one of twelve, until it is cancelled itself."""
        while True:
            if await self.ask(OPEN) < backlog:
                row = await self.insert()
                if self._dice.random() < 1 / 12:
                    with suppress(*AWAY):
                        await self.cancel(row)
            await asyncio.sleep(FEED_S)

    async def until_held(self, row: UUID, within_s: float = 30.0) -> str:
        """The worker that runs a session."""
        async with asyncio.timeout(within_s):
            while (worker := await self.ask(HOLDER, row)) is None:
                await asyncio.sleep(0.02)
        return str(worker)

    async def until_all_ended(self, within_s: float) -> None:
        """Wait until no session is open."""
        async with asyncio.timeout(within_s):
            while await self.ask(OPEN):
                await asyncio.sleep(0.05)

"""A worker's clients on the embedded stack, and sessions as an app inserts them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import pytest

from listener.adapters.rpc import RpcSessionStore
from listener.adapters.supabase_clients import Clients, open_clients
from listener.contract import Session
from listener.ports import Attempt, Registration
from tests.support.target import Target

LEASE_S = 30.0


@dataclass
class Worker:
    """One worker's store and what it may do with it."""

    id: UUID
    store: RpcSessionStore

    async def register(self) -> None:
        await self.store.register(Registration(self.id, "test", ("headshot",), 2, "0", LEASE_S))

    async def claim_one(self) -> tuple[Session, Attempt]:
        (session,) = await self.store.claim(uuid4(), ["headshot"], 1)
        return session, Attempt(session.id, session.attempt)


@pytest.fixture
async def clients(project: Target) -> AsyncIterator[Clients]:
    async with open_clients(project.url, project.service_role_key, 2) as opened:
        yield opened


@pytest.fixture
async def worker(clients: Clients) -> Worker:
    identity = uuid4()
    made = Worker(identity, RpcSessionStore(clients.calls, identity))
    await made.register()
    return made


@pytest.fixture
def insert(connection: asyncpg.Connection) -> Callable[..., Awaitable[UUID]]:
    """Insert a headshot row of a user; the id of the row."""
    owner = uuid4()

    async def one(prompt: str = "a calm portrait") -> UUID:
        await connection.execute("insert into auth.users (id) values ($1) on conflict do nothing", owner)
        statement = "insert into public.headshot_sessions (user_id, prompt) values ($1, $2) returning id"
        inserted: UUID = await connection.fetchval(statement, owner, prompt)
        return inserted

    return one

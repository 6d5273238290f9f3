"""Try-on as its users and stores have it: two stores with a member each, and rows of both channels.

Knows SQL only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from tests.sql.project import Held, Project, Row

B2C, B2B = "public.generation_sessions", "public.store_generation_sessions"
PICTURES = ["https://pictures.example/person.jpg", "https://pictures.example/coat.jpg"]


@dataclass(frozen=True, slots=True)
class Store:
    """A store and the user who is its member."""

    id: UUID
    member: UUID


async def open_store(project: Project, name: str = "Coats") -> Store:
    """Make a store with one member, as the app's server does."""
    member = uuid4()
    async with project.acting("service_role") as connection:
        store = await connection.fetchval("insert into public.stores (name) values ($1) returning id", name)
        await connection.execute("insert into public.store_members (store_id, user_id) values ($1, $2)", store, member)
    return Store(store, member)


async def order(project: Project, store: Store, count: int = 1, **columns: Any) -> list[UUID]:
    """Insert a store's rows as the app's server, in one statement."""
    async with project.acting("service_role") as connection:
        return await put(connection, B2B, count, {"store_id": store.id, **columns})


async def ask(project: Project, user: UUID, count: int = 1, **columns: Any) -> list[UUID]:
    """Insert a user's rows as himself, in one statement."""
    async with project.acting("authenticated", user) as connection:
        return await put(connection, B2C, count, {"user_id": user, **columns})


async def put(connection: Any, table: str, count: int, columns: Row) -> list[UUID]:
    """Insert equal rows in one statement."""
    fields = {"image_urls": PICTURES, "prompt": "wear the coat", **columns}
    values = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
    found = await connection.fetch(
        f"insert into {table} ({', '.join(fields)}) select {values} from generate_series(1, {count}) returning id",
        *fields.values(),
    )
    return [row["id"] for row in found]


async def take(project: Project, count: int = 1, worker: UUID | None = None) -> list[Held]:
    """Claim the next try-ons."""
    worker = worker or await project.worker(kinds=("tryon",))
    claimed = await project.claim(worker, count, None, "tryon")
    return [Held(worker, row["session"], row["attempt"], row["row_id"]) for row in claimed]

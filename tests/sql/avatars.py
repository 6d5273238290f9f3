"""Talking avatars as users and stores have them: rows of both tables.

Knows SQL only.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.sql.project import Held, Project
from tests.sql.tryon import Store

USERS, STORES = "public.avatar_sessions", "public.store_avatar_sessions"
INPUTS = {"image_url": "https://pictures.example/face.jpg", "audio_url": "https://sounds.example/words.wav"}


async def put(connection: Any, table: str, **columns: Any) -> UUID:
    """Insert one row."""
    fields = {**INPUTS, **columns}
    values = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
    query = f"insert into {table} ({', '.join(fields)}) values ({values}) returning id"
    return UUID(str(await connection.fetchval(query, *fields.values())))


async def speak(project: Project, user: UUID, **columns: Any) -> UUID:
    """Insert a user's row as himself."""
    async with project.acting("authenticated", user) as connection:
        return await put(connection, USERS, user_id=user, **columns)


async def order(project: Project, store: Store, **columns: Any) -> UUID:
    """Insert a store's row as the app's server."""
    async with project.acting("service_role") as connection:
        return await put(connection, STORES, store_id=store.id, **columns)


async def take(project: Project, count: int = 1, worker: UUID | None = None) -> list[Held]:
    """Claim the next clips."""
    worker = worker or await project.worker(kinds=("avatar",), lease_s=300)
    claimed = await project.claim(worker, count, None, "avatar")
    return [Held(worker, row["session"], row["attempt"], row["row_id"]) for row in claimed]

"""Packs as their users have them: a character, a job for it, images that a worker saves one by one.

Knows SQL only.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.sql.project import Held, Project, Row

CONFIG = {"age_range": [25, 30], "hair_color": "red"}
STYLE = {"seed": 7, "style_strength": 0.8}


async def create(project: Project, user: UUID, **columns: Any) -> UUID:
    """Save a character as its user."""
    fields = {"user_id": user, "config": CONFIG, "style": STYLE, **columns}
    return UUID(str(await _put(project, user, "characters", fields)))


async def order(project: Project, user: UUID, character: UUID, image_count: int = 5) -> UUID:
    """Ask for a pack as the user."""
    fields = {"user_id": user, "character_id": character, "image_count": image_count}
    return UUID(str(await _put(project, user, "generation_jobs", fields)))


async def _put(project: Project, user: UUID, table: str, fields: Row) -> Any:
    values = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
    async with project.acting("authenticated", user) as connection:
        return await connection.fetchval(
            f"insert into public.{table} ({', '.join(fields)}) select {values} returning id", *fields.values()
        )


async def take(project: Project, worker: UUID | None = None) -> Held:
    """Claim the next pack."""
    worker = worker or await project.worker(kinds=("pack",))
    (row,) = await project.claim(worker, 1, None, "pack")
    return Held(worker, row["session"], row["attempt"], row["row_id"])


async def started(project: Project, user: UUID, image_count: int = 5) -> Held:
    """A pack of a new character that a worker has begun."""
    await order(project, user, await create(project, user), image_count)
    return await take(project)


def image(held: Held, position: int, **fields: Any) -> Row:
    """One image of a pack as add_artifacts takes it; fields are facts."""
    facts = {"position": position, "pose": f"pose{position}", "seed": 7, "similarity_state": "not_measured", **fields}
    path = f"packs/{held.row}.{held.attempt}/{position}"
    return held.item(
        name=f"{position}",
        bucket="characters",
        path=f"{path}.png",
        thumbnail_path=f"{path}.webp",
        width=64,
        height=48,
        size_bytes=1000 + position,
        content_type="image/png",
        url=f"https://signed/{position}",
        facts=facts,
    )


async def save(project: Project, held: Held, *positions: int, **facts: Any) -> None:
    """Save images one by one, as a worker does."""
    for position in positions:
        assert await project.outcomes("add_artifacts", held.worker, image(held, position, **facts)) == [
            ("applied", None)
        ]


async def job(project: Project, held: Held | UUID) -> Row:
    """Read a job's row."""
    key = held.row if isinstance(held, Held) else held
    return (await project.rows("select * from public.generation_jobs where id = $1", key))[0]


async def seen(project: Project, user: UUID) -> list[int]:
    """The positions of the images that a user sees, in order."""
    async with project.acting("authenticated", user) as connection:
        found = await connection.fetch("select position from public.character_images order by position")
    return [row["position"] for row in found]

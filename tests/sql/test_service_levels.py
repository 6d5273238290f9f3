"""How the last hours went: what completed, what failed, how long people waited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import Project

MIDNIGHT = datetime(2030, 1, 1, tzinfo=UTC)
IMAGE = {
    "name": "image.png",
    "bucket": "headshots",
    "path": "x/image.png",
    "size_bytes": 1,
    "content_type": "image/png",
}


async def levels(project: Project, hours: int = 24) -> list[dict[str, Any]]:
    return [dict(row) for row in await project.connection.fetch("select * from public.service_levels($1)", hours)]


async def completed(project: Project, owner: UUID, *, shown_after_s: int, after_s: int) -> None:
    """A session inserted and begun at midnight, with one artifact."""
    await project.set_clock(MIDNIGHT)
    held = await project.held(None, owner)
    await project.set_clock(MIDNIGHT + timedelta(seconds=shown_after_s))
    assert await project.settle("add_artifacts", held, **IMAGE) == ("applied", None)
    await project.set_clock(MIDNIGHT + timedelta(seconds=after_s))
    assert await project.settle("complete_sessions", held, result={}) == ("applied", None)


async def test_nothing_that_ended_is_told_as_nothing(project: Project, owner: UUID) -> None:
    await project.insert(owner)
    assert await levels(project) == []


async def test_the_share_of_what_completed_and_the_times_since_the_insert_are_told(
    project: Project, owner: UUID
) -> None:
    await completed(project, owner, shown_after_s=10, after_s=30)
    await completed(project, owner, shown_after_s=20, after_s=50)
    held = await project.held(None, owner)
    await project.settle("fail_sessions", held, code="time_limit", message="too slow", details={})
    (told,) = await levels(project)
    assert (told["kind"], told["completed"], told["failed"]) == ("headshot", 2, 1)
    assert told["success"] == pytest.approx(2 / 3, abs=1e-4)
    assert (told["done_p50_s"], told["done_p95_s"]) == (pytest.approx(40), pytest.approx(49))
    assert (told["wait_p95_s"], told["first_p95_s"]) == (pytest.approx(0), pytest.approx(19.5))


async def test_only_the_hours_asked_for_count(project: Project, owner: UUID) -> None:
    await completed(project, owner, shown_after_s=1, after_s=2)
    await project.set_clock(MIDNIGHT + timedelta(hours=6))
    assert await levels(project, 5) == []
    assert len(await levels(project, 6)) == 1


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_ask(project: Project, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, uuid4()) as connection:
            await connection.fetch("select public.service_levels()")

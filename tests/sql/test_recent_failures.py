"""What failed lately: how often, and the newest as their rows show them."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import Project


async def fail(project: Project, owner: UUID, code: str) -> UUID:
    """One session that failed for good; its row."""
    held = await project.held(None, owner)
    await project.settle("fail_sessions", held, code=code, message=f"it was {code}", details={"type": "Test"})
    return held.row


async def test_nothing_failed_is_told_as_nothing(project: Project) -> None:
    assert await project.answer("recent_failures") == {"counts": [], "failures": []}


async def test_failures_are_counted_by_code_and_the_newest_are_shown_first(project: Project, owner: UUID) -> None:
    for minute, code in enumerate(("time_limit", "out_of_memory", "time_limit")):
        await project.set_clock(f"2030-01-01 00:0{minute}:00+00")
        newest = await fail(project, owner, code)
    seen = await project.answer("recent_failures", p_limit=2)
    assert [(one["kind"], one["code"], one["count"]) for one in seen["counts"]] == [
        ("headshot", "time_limit", 2),
        ("headshot", "out_of_memory", 1),
    ]
    assert [one["code"] for one in seen["failures"]] == ["time_limit", "out_of_memory"]
    first = seen["failures"][0]
    assert (first["row_id"], first["message"], first["attempt"]) == (str(newest), "it was time_limit", 1)
    assert first["request_id"]
    assert first["details"]["type"] == "Test"


async def test_what_failed_before_the_window_and_what_did_not_fail_is_left_out(project: Project, owner: UUID) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    await fail(project, owner, "time_limit")
    await project.set_clock("2030-01-01 05:00:00+00")
    held = await project.held(None, owner)
    await project.settle("complete_sessions", held, result={})
    assert (await project.answer("recent_failures", p_hours=4))["failures"] == []
    assert len((await project.answer("recent_failures", p_hours=6))["failures"]) == 1


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_ask(project: Project, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, uuid4()) as connection:
            await connection.fetch("select public.recent_failures()")

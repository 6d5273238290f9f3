"""What progress does: it shows, it fences, it carries the wish to cancel."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import Project


@pytest.mark.parametrize(
    ("done", "total", "shown"), [(0, 4, 0), (1, 3, 33), (4, 4, 100), (9, 4, 100), (-1, 4, 0), (1, 0, 0)]
)
async def test_progress_is_shown_as_percent(project: Project, done: int, total: int, shown: int) -> None:
    held = await project.held()
    assert await project.settle("report_progress", held, done=done, total=total, note="step") == ("applied", None)
    row = await project.row(held)
    assert (row["progress"], row["message"], row["status"]) == (shown, "step", "processing")


async def test_every_write_of_the_listener_raises_the_version_by_one(project: Project) -> None:
    held = await project.held()
    versions = [(await project.row(held))["version"]]
    for function, fields in (
        ("report_progress", {"done": 1, "total": 2}),
        ("report_progress", {"done": 1, "total": 2}),
        ("complete_sessions", {"result": {}}),
        ("complete_sessions", {"result": {}}),
    ):
        await project.settle(function, held, **fields)
        versions.append((await project.row(held))["version"])
    assert versions == [1, 2, 3, 4, 4]


async def test_a_stale_item_does_not_roll_back_its_neighbours(project: Project) -> None:
    worker = await project.worker()
    first, second = await project.held(worker), await project.held(worker)
    stale = {**second.item(done=1, total=2), "attempt": 7}
    outcomes = await project.outcomes(
        "report_progress",
        worker,
        stale,
        first.item(done=1, total=2),
        {"session": str(uuid4()), "attempt": 1, "done": 1, "total": 2},
    )
    assert outcomes == [("refused", "SL001"), ("applied", None), ("refused", "SL002")]
    assert ((await project.row(first))["progress"], (await project.row(second))["progress"]) == (50, 0)


async def test_another_workers_progress_is_refused(project: Project) -> None:
    held = await project.held()
    thief = await project.worker()
    assert await project.outcomes("report_progress", thief, held.item(done=1, total=2)) == [("refused", "SL001")]
    assert (await project.row(held))["progress"] == 0


async def test_progress_after_the_end_is_refused(project: Project) -> None:
    held = await project.held()
    await project.settle("complete_sessions", held, result={})
    assert await project.settle("report_progress", held, done=1, total=2) == ("refused", "SL003")
    assert (await project.row(held))["progress"] == 100


async def test_the_answer_carries_the_wish_to_cancel(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    async with project.acting("authenticated", owner) as connection:
        await connection.execute("select public.cancel_session($1)", held.row)
    (answer,) = await project.rpc("report_progress", p_worker=held.worker, p_items=[held.item(done=1, total=2)])
    assert (answer["outcome"], answer["cancel_requested"]) == ("applied", True)


async def test_a_new_attempt_begins_at_zero(project: Project) -> None:
    held = await project.held()
    await project.settle("report_progress", held, done=3, total=4, note="almost")
    await project.settle("release_sessions", held)
    row = await project.row(held)
    assert (row["progress"], row["message"], row["status"], row["started_at"]) == (0, None, "queued", None)


@pytest.mark.parametrize(
    "function",
    [
        "report_progress",
        "add_artifacts",
        "complete_sessions",
        "fail_sessions",
        "cancel_sessions",
        "retry_sessions",
        "release_sessions",
    ],
)
@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_write_attempts(project: Project, owner: UUID, role: str, function: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, owner) as connection:
            await connection.fetch(f"select * from public.{function}($1, '[]')", uuid4())

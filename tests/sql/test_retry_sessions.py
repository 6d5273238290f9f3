"""What a retry does: it waits, it counts, and the last one ends the session with a refund."""

from __future__ import annotations

from uuid import UUID

from tests.sql.project import Project

BUSY = {"code": "provider_busy", "message": "The service is busy."}


async def test_a_retry_waits_until_its_time_and_shows_queued(project: Project, owner: UUID) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    held = await project.held(await project.worker(lease_s=300), owner)
    assert await project.settle("retry_sessions", held, **BUSY, delay_s=30) == ("applied", None)
    assert (await project.session(held))["status"] == "delayed"
    row = await project.row(held)
    assert (row["status"], row["error_code"], row["progress"]) == ("queued", None, 0)
    await project.set_clock("2030-01-01 00:00:29+00")
    assert (await project.answer("sweep_sessions"))["promoted"] == 0
    assert await project.claim(held.worker) == []
    await project.set_clock("2030-01-01 00:00:30+00")
    assert (await project.answer("sweep_sessions"))["promoted"] == 1
    assert (await project.again(held)).attempt == 2
    assert await project.balance(owner) == 9


async def test_the_last_attempt_fails_and_is_refunded(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    for _ in range(2):
        await project.settle("retry_sessions", held, **BUSY, delay_s=0)
        held = await project.again(held)
    assert await project.settle("retry_sessions", held, **BUSY, delay_s=0) == ("applied", None)
    session, row = await project.session(held), await project.row(held)
    assert (session["status"], session["failures"], row["error_code"]) == ("failed", 3, "provider_busy")
    assert await project.balance(owner) == 10


async def test_the_same_retry_again_counts_once(project: Project) -> None:
    held = await project.held()
    outcomes = [await project.settle("retry_sessions", held, **BUSY, delay_s=60) for _ in range(2)]
    assert outcomes == [("applied", None), ("already", None)]
    assert (await project.session(held))["failures"] == 1


async def test_a_retry_of_a_session_to_be_cancelled_cancels_it(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    async with project.acting("authenticated", owner) as connection:
        await connection.execute("select public.cancel_session($1)", held.row)
    await project.settle("retry_sessions", held, **BUSY, delay_s=0)
    assert (await project.row(held))["status"] == "cancelled"
    assert await project.balance(owner) == 10


async def test_success_after_a_retry_shows_no_error(project: Project) -> None:
    held = await project.held()
    await project.settle("retry_sessions", held, **BUSY, delay_s=0)
    await project.settle("complete_sessions", await project.again(held), result={})
    row = await project.row(held)
    assert (row["status"], row["error_code"], row["error_details"]) == ("completed", None, None)


async def test_a_stale_attempt_cannot_retry_the_next_one(project: Project) -> None:
    held = await project.held()
    await project.settle("release_sessions", held)
    await project.again(held)
    assert await project.settle("retry_sessions", held, **BUSY, delay_s=0) == ("refused", "SL001")
    assert (await project.session(held))["failures"] == 0

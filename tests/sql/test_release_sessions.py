"""What a release does: the session goes back to the queue, nothing is counted, and its number never returns."""

from __future__ import annotations

from uuid import UUID

from tests.sql.project import Project


async def test_a_release_counts_nothing_and_keeps_the_charge(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    assert await project.settle("release_sessions", held) == ("applied", None)
    session = await project.session(held)
    assert (session["status"], session["failures"], session["attempt"]) == ("queued", 0, 1)
    assert (await project.row(held))["status"] == "queued"
    assert await project.balance(owner) == 9


async def test_an_attempts_number_never_returns(project: Project) -> None:
    held = await project.held()
    numbers = [held.attempt]
    for _ in range(4):
        await project.settle("release_sessions", held)
        held = await project.again(held)
        numbers.append(held.attempt)
    assert numbers == [1, 2, 3, 4, 5]


async def test_the_same_release_again_is_already_done(project: Project) -> None:
    held = await project.held()
    outcomes = [await project.settle("release_sessions", held) for _ in range(2)]
    assert outcomes == [("applied", None), ("already", None)]


async def test_a_stale_attempt_cannot_release_the_next_one(project: Project) -> None:
    held = await project.held()
    await project.settle("release_sessions", held)
    again = await project.again(held)
    assert await project.settle("release_sessions", held) == ("refused", "SL001")
    assert (await project.session(again))["status"] == "processing"

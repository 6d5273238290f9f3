"""What a heartbeat does: one write renews everything; what it brings back is what the worker must know."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import Held, Project


async def beat(project: Project, worker: UUID, running: list[Held] | None = None, claims: list[UUID] | None = None):
    return await project.answer(
        "heartbeat",
        p_worker=worker,
        p_running=[held.item() for held in running or []],
        p_open_claims=claims or [],
    )


async def test_a_heartbeat_renews_the_lease_and_beats(project: Project) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    worker = await project.worker(lease_s=10)
    await project.set_clock("2030-01-01 00:00:09+00")
    pulse = await beat(project, worker)
    assert pulse["known"] is True
    assert pulse["tables"] == [{"schema": "public", "table": "headshot_sessions", "kind": "headshot"}]
    (row,) = await project.rows("select beats, lease_expires_at::text from listener.workers")
    assert row == {"beats": 1, "lease_expires_at": "2030-01-01 00:00:19+00"}


@pytest.mark.parametrize(
    ("said", "shown"),
    [("paused: generator", "paused: generator"), ("x" * 41, "x" * 40), ("", None), (None, None)],
)
async def test_what_a_worker_says_of_itself_is_shown_as_far_as_it_fits_and_never_costs_the_lease(
    project: Project, said: str | None, shown: str | None
) -> None:
    worker = await project.worker()
    assert (await project.answer("service_status"))["workers"][0]["state"] is None
    await project.answer("heartbeat", p_worker=worker, p_running=[], p_open_claims=[], p_state="claiming")
    pulse = await project.answer("heartbeat", p_worker=worker, p_running=[], p_open_claims=[], p_state=said)
    assert pulse["known"] is True
    assert (await project.answer("service_status"))["workers"][0]["state"] == shown


async def test_a_worker_that_says_nothing_of_itself_is_shown_without_a_state(project: Project) -> None:
    worker = await project.worker()
    await project.answer("heartbeat", p_worker=worker, p_running=[], p_open_claims=[], p_state="claiming")
    assert (await beat(project, worker))["known"] is True
    assert (await project.answer("service_status"))["workers"][0]["state"] is None


async def test_no_state_longer_than_a_word_lies_in_the_table(project: Project) -> None:
    await project.worker()
    for state in ("", "x" * 41):
        with pytest.raises(asyncpg.CheckViolationError, match="workers_state_is_a_word"):
            async with project.connection.transaction():
                await project.connection.execute("update listener.workers set state = $1", state)


async def test_an_unknown_worker_is_told_to_register(project: Project) -> None:
    pulse = await beat(project, uuid4())
    assert (pulse["known"], pulse["cancel"], pulse["lost"], pulse["tables"]) == (False, [], [], [])


async def test_what_is_running_stays(project: Project) -> None:
    held = await project.held()
    for _ in range(4):
        pulse = await beat(project, held.worker, [held])
        assert (pulse["cancel"], pulse["lost"]) == ([], [])
    assert (await project.session(held))["status"] == "processing"


async def test_a_lost_claim_answer_strands_nothing(project: Project, owner: UUID) -> None:
    worker, claim = await project.worker(), uuid4()
    (row,) = await project.insert(owner)
    await project.claim(worker, 1, claim)
    for _ in range(3):
        await beat(project, worker, claims=[claim])
    assert (await project.session(row))["status"] == "processing", "an open claim explains it"
    await beat(project, worker)
    session = await project.session(row)
    assert (session["status"], session["failures"], session["attempt"]) == ("queued", 0, 1)
    assert (await project.row(row))["status"] == "queued"


async def test_a_heartbeat_written_before_a_claim_does_not_release_it(project: Project, owner: UUID) -> None:
    worker = await project.worker()
    (row,) = await project.insert(owner)
    await beat(project, worker)
    await project.claim(worker)
    await beat(project, worker)
    assert (await project.session(row))["status"] == "processing"
    await beat(project, worker)
    assert (await project.session(row))["status"] == "queued"


async def test_an_attempt_that_moved_on_is_reported_lost(project: Project) -> None:
    held = await project.held()
    await project.settle("release_sessions", held)
    other = await project.worker()
    (claimed,) = await project.claim(other)
    assert claimed["attempt"] == 2
    assert (await beat(project, held.worker, [held]))["lost"] == [held.item()]


async def test_a_cancel_request_reaches_the_worker(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    async with project.acting("authenticated", owner) as connection:
        await connection.execute("select public.cancel_session($1)", held.row)
    assert (await beat(project, held.worker, [held]))["cancel"] == [str(held.session)]


async def test_a_heartbeat_promotes_due_retries(project: Project) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    held = await project.held(await project.worker(lease_s=300))
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=60)
    assert (await beat(project, held.worker))["promoted"] == 0
    await project.set_clock("2030-01-01 00:01:00+00")
    assert (await beat(project, held.worker))["promoted"] == 1
    assert (await project.session(held))["status"] == "queued"


async def test_a_broken_table_is_not_listened_to(project: Project) -> None:
    worker = await project.worker()
    await project.connection.execute("update listener.session_tables set broken_at = now(), broken_reason = 'test'")
    assert (await beat(project, worker))["tables"] == []


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_beat(project: Project, owner: UUID, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, owner) as connection:
            await connection.execute("select public.heartbeat($1, '[]', '{}')", uuid4())

"""What a user is told of his session: its place, how long it will take by what was measured, or why nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import SECOND_TABLE, Project

START = datetime(2030, 1, 1, tzinfo=UTC)
FLOOD = """
insert into public.headshot_sessions (user_id, prompt) select gen_random_uuid(), 'p' from generate_series(1, $1::int)
"""
COUNT = Path(__file__).parents[2] / "sql" / "functions" / "count_ahead.sql"
UNKNOWN = {"estimate_s": None, "estimate_basis": None}


async def status(project: Project, user: UUID, row: UUID) -> Any:
    async with project.acting("authenticated", user) as connection:
        return await connection.fetchval("select public.queue_status($1)", row)


async def told(project: Project, user: UUID, row: UUID, *fields: str) -> tuple[Any, ...]:
    answer = await status(project, user, row)
    return tuple(answer[field] for field in fields)


async def measured(project: Project, worker: UUID, *durations_s: float) -> None:
    """Complete one session for each duration, beginning at START."""
    now = START
    for duration_s in durations_s:
        await project.set_clock(now)
        held = await project.held(worker, uuid4())
        now += timedelta(seconds=duration_s)
        await project.set_clock(now)
        await project.settle("complete_sessions", held, result={})
    await project.set_clock(START + timedelta(minutes=2))


async def clocked_worker(project: Project, slots: int = 1, kinds: tuple[str, ...] = ("headshot",)) -> UUID:
    await project.set_clock(START)
    worker = await project.worker(lease_s=300, kinds=kinds)
    await project.connection.execute("update listener.workers set slots = $1 where id = $2", slots, worker)
    return worker


async def test_the_place_is_that_of_the_fair_order(project: Project, owner: UUID) -> None:
    other = uuid4()
    await project.insert(other, 5)
    (row,) = await project.insert(owner)
    assert await told(project, owner, row, "status", "position", "ahead", "is_more_ahead") == ("queued", 2, 1, False)
    worker = await project.worker()
    await project.claim(worker)
    assert await told(project, owner, row, "position", "ahead") == (1, 0)


async def test_other_kinds_and_finished_sessions_are_not_ahead(project: Project, owner: UUID) -> None:
    await project.connection.execute(SECOND_TABLE)
    await project.connection.execute(
        "insert into public.portrait_sessions (user_id, prompt) "
        "select gen_random_uuid(), 'p' from generate_series(1, 4)"
    )
    held = await project.held()
    await project.settle("complete_sessions", held)
    (row,) = await project.insert(owner)
    assert await told(project, owner, row, "position", "ahead") == (1, 0)


async def test_a_long_queue_is_counted_to_a_bound_and_says_so(project: Project, owner: UUID) -> None:
    await project.connection.execute(FLOOD, 1000)
    (row,) = await project.insert(owner)
    assert await told(project, owner, row, "position", "ahead", "is_more_ahead") == (1001, 1000, False)
    await project.connection.execute(FLOOD, 1)
    (later,) = await project.insert(uuid4())
    assert await told(project, owner, row, "position") == (1001,)
    last = await project.value("select user_id from public.headshot_sessions where id = $1", later)
    assert await status(project, last, later) == {
        "status": "queued",
        "position": None,
        "ahead": 1000,
        "is_more_ahead": True,
        "retry_in_s": None,
        "reason": "queue_too_long",
        **UNKNOWN,
    }


async def test_the_estimate_comes_from_measured_durations_and_live_slots(project: Project, owner: UUID) -> None:
    worker = await clocked_worker(project, slots=2)
    await measured(project, worker, 10, 20, 30)
    for _ in range(3):
        await project.insert(uuid4())
    await project.claim(worker, 2)
    (row,) = await project.insert(owner)
    answer = await status(project, owner, row)
    assert answer["estimate_basis"] == {"sessions": 3, "mean_s": 20.0, "slots": 2.0}
    assert (answer["ahead"], answer["estimate_s"], answer["reason"]) == (1, 40, None)


async def test_a_free_slot_means_no_wait(project: Project, owner: UUID) -> None:
    worker = await clocked_worker(project, slots=3)
    await measured(project, worker, 12)
    (row,) = await project.insert(owner)
    assert await told(project, owner, row, "position", "estimate_s") == (1, 12)


async def test_only_the_last_fifty_of_the_last_day_count(project: Project, owner: UUID) -> None:
    worker = await clocked_worker(project)
    await measured(project, worker, 100, *[1] * 50)
    (row,) = await project.insert(owner)
    assert (await status(project, owner, row))["estimate_basis"]["mean_s"] == 1
    await project.set_clock(START + timedelta(days=2))
    await project.connection.execute("update listener.workers set lease_expires_at = $1", START + timedelta(days=3))
    assert await told(project, owner, row, "estimate_s", "reason") == (None, "no_measurements")


async def test_a_running_session_says_what_is_left(project: Project, owner: UUID) -> None:
    worker = await clocked_worker(project)
    await measured(project, worker, 30)
    held = await project.held(worker, owner)
    await project.set_clock(START + timedelta(minutes=2, seconds=10))
    assert await told(project, owner, held.row, "status", "position", "ahead", "estimate_s") == ("processing", 0, 0, 20)
    await project.set_clock(START + timedelta(minutes=2, seconds=40))
    assert await told(project, owner, held.row, "estimate_s", "reason") == (None, "longer_than_usual")


async def test_a_session_whose_worker_is_silent_does_not_say_when_it_ends(project: Project, owner: UUID) -> None:
    worker = await clocked_worker(project)
    await measured(project, worker, 3000)
    held = await project.held(worker, owner)
    await project.set_clock(START + timedelta(seconds=290))
    assert await told(project, owner, held.row, "estimate_s", "reason") == (2830, None)
    await project.set_clock(START + timedelta(seconds=301))
    await project.worker()
    assert await status(project, owner, held.row) == {
        "status": "processing",
        "position": 0,
        "ahead": 0,
        "is_more_ahead": False,
        "retry_in_s": None,
        "reason": "interrupted",
        **UNKNOWN,
    }


async def test_a_waiting_retry_says_when(project: Project, owner: UUID) -> None:
    worker = await clocked_worker(project)
    held = await project.held(worker, owner)
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=30)
    await project.set_clock(START + timedelta(seconds=10))
    assert await status(project, owner, held.row) == {
        "status": "queued",
        "position": None,
        "ahead": None,
        "is_more_ahead": False,
        "retry_in_s": 20,
        "reason": "waiting_to_retry",
        **UNKNOWN,
    }


@pytest.mark.parametrize(
    ("function", "state"),
    [("complete_sessions", "completed"), ("fail_sessions", "failed"), ("cancel_sessions", "cancelled")],
)
async def test_a_finished_session_says_so(project: Project, owner: UUID, function: str, state: str) -> None:
    held = await project.held(owner=owner)
    await project.settle(function, held, code="x")
    assert await told(project, owner, held.row, "status", "position", "estimate_s", "reason") == (
        state,
        None,
        None,
        "finished",
    )


async def test_what_stands_in_the_way_is_named(project: Project, owner: UUID) -> None:
    worker = await clocked_worker(project)
    await measured(project, worker, 5)
    rows = await project.insert(owner, 2)
    await project.connection.execute("update listener.plans set running_at_once = 1")
    await project.claim(worker)
    assert await told(project, owner, rows[1], "position", "reason") == (1, "own_limit")
    await project.connection.execute("update listener.plans set running_at_once = null")
    await project.connection.execute("update listener.kinds set running_at_once = 0")
    assert await told(project, owner, rows[1], "estimate_s", "reason") == (None, "paused")
    await project.connection.execute("update listener.kinds set running_at_once = null")
    await project.set_clock(START + timedelta(minutes=10))
    assert await told(project, owner, rows[1], "reason") == ("no_worker",)
    await project.connection.execute("update listener.session_tables set broken_at = now(), broken_reason = 'x'")
    assert await told(project, owner, rows[1], "reason") == ("out_of_order",)


async def test_a_worker_of_two_busy_kinds_counts_half(project: Project, owner: UUID) -> None:
    await project.connection.execute(SECOND_TABLE)
    worker = await clocked_worker(project, 4, ("headshot", "portrait"))
    await measured(project, worker, 8)
    (row,) = await project.insert(owner)
    assert (await status(project, owner, row))["estimate_basis"]["slots"] == 4
    await project.connection.execute("insert into public.portrait_sessions (user_id, prompt) values ($1, 'p')", owner)
    assert (await status(project, owner, row))["estimate_basis"]["slots"] == 2


async def test_others_sessions_are_unknown(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner)
    for user, asked in ((uuid4(), row), (owner, uuid4())):
        with pytest.raises(asyncpg.PostgresError, match="session_unknown") as refused:
            await status(project, user, asked)
        assert refused.value.sqlstate == "SL002"


@pytest.mark.parametrize("plan_mode", ["force_custom_plan", "force_generic_plan"])
async def test_the_place_is_counted_in_the_claims_index(project: Project, plan_mode: str) -> None:
    await project.connection.execute(FLOOD, 5000)
    await project.connection.execute("analyze listener.sessions")
    body = COUNT.read_text().split("$$")[1]
    for number, name in enumerate(("p_kind", "p_fair_tag", "p_seq"), 1):
        body = body.replace(name, f"${number}")
    await project.connection.execute(f"set plan_cache_mode = {plan_mode}")
    await project.connection.execute(f"prepare ahead (text, double precision, bigint) as {body}")
    lines = await project.rows("explain (analyze) execute ahead('headshot', 1e9, 0)")
    text = "\n".join(next(iter(line.values())) for line in lines)
    assert "using sessions_claimable" in text
    assert "Sort" not in text
    assert "rows=1001" in text


@pytest.mark.parametrize("role", ["anon", "service_role"])
async def test_only_signed_in_users_may_ask(project: Project, owner: UUID, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, owner) as connection:
            await connection.execute("select public.queue_status($1)", uuid4())


async def test_a_server_that_knows_who_asks_is_told_what_the_owner_himself_is(project: Project, owner: UUID) -> None:
    await project.insert(uuid4(), 3)
    (row,) = await project.insert(owner)
    asked = "select public.owner_queue_status($1, $2)"
    seen_by_himself = await status(project, owner, row)
    async with project.acting("service_role") as connection:
        assert await connection.fetchval(asked, owner, row) == seen_by_himself
        with pytest.raises(asyncpg.PostgresError, match="session_unknown"):
            await connection.fetchval(asked, uuid4(), row)
    async with project.acting("authenticated", owner) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetchval(asked, owner, row)

"""What sessions cost us: device time and dollars, counted once for each attempt that was settled, summed by day."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sql.project import Held, Project

DAY_1, DAY_2 = date(2030, 1, 1), date(2030, 1, 2)
SPENT = {"device_s": 12.5, "cost_usd": 0.01}
SETTLEMENTS: dict[str, dict[str, Any]] = {
    "complete_sessions": {"result": {}},
    "fail_sessions": {"code": "x"},
    "retry_sessions": {"code": "x", "delay_s": 0},
    "cancel_sessions": {},
    "release_sessions": {},
}


async def at(project: Project, day: date) -> None:
    await project.set_clock(f"{day} 12:00:00+00")
    await project.connection.execute("update listener.workers set lease_expires_at = '2031-01-01'")


async def cost(project: Project, held: Held) -> tuple[float | None, float | None]:
    session = await project.session(held)
    return session["device_s"], session["cost_usd"]


async def daily(project: Project) -> list[tuple[Any, ...]]:
    found = await project.rows("select * from listener.daily_costs order by day, kind, owner")
    return [tuple(row.values()) for row in found]


async def done(project: Project, owner: UUID, **spent: float) -> Held:
    held = await project.held(await project.worker(lease_s=300), owner)
    assert await project.settle("complete_sessions", held, result={}, **spent) == ("applied", None)
    return held


@pytest.mark.parametrize("function", SETTLEMENTS)
async def test_what_an_attempt_came_to_is_added_with_its_settlement_and_never_twice(
    project: Project, owner: UUID, function: str
) -> None:
    held = await project.held(owner=owner)
    stranger = Held(await project.worker(), held.session, held.attempt, held.row)
    assert await project.settle(function, stranger, **SETTLEMENTS[function], **SPENT) == ("refused", "SL001")
    assert await cost(project, held) == (None, None), "who does not hold it adds nothing"
    item = held.item(**SETTLEMENTS[function], **SPENT)
    assert await project.outcomes(function, held.worker, item, item) == [("applied", None), ("already", None)]
    assert await project.settle(function, held, **SETTLEMENTS[function], **SPENT) == ("already", None)
    assert await cost(project, held) == (12.5, 0.01)


@pytest.mark.parametrize("batch", [False, True])
async def test_completions_are_counted_by_the_quick_way_and_by_the_fence_alike(
    project: Project, owner: UUID, batch: bool
) -> None:
    await project.insert(owner, 2)
    worker = await project.worker()
    first, second = (
        Held(worker, row["session"], row["attempt"], row["row_id"]) for row in await project.claim(worker, 2)
    )
    items = [first.item(result={}, device_s=1.0), second.item(result={}, cost_usd=0.5)]
    if batch:  # one that is stale sends all of them through the fence
        items.append(first.item(result={}, device_s=100.0) | {"attempt": 7})
    outcomes = await project.outcomes("complete_sessions", worker, *items)
    assert outcomes[:2] == [("applied", None)] * 2
    assert [await cost(project, held) for held in (first, second)] == [(1.0, None), (None, 0.5)]


async def test_attempts_add_up_and_a_lost_worker_adds_nothing(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=0, **SPENT)
    lost = await project.again(held)
    await project.connection.execute("update listener.workers set lease_expires_at = '2000-01-01'")
    await project.answer("sweep_sessions")
    assert await project.settle("complete_sessions", lost, result={}, **SPENT) == ("refused", "SL001")
    assert await cost(project, held) == (12.5, 0.01)
    worker = await project.worker()
    (row,) = await project.claim(worker)
    last = Held(worker, row["session"], row["attempt"], row["row_id"])
    assert await project.settle("complete_sessions", last, result={}, device_s=2.5) == ("applied", None)
    assert await cost(project, held) == (15.0, 0.01)


async def test_what_nobody_knew_is_not_zero_and_what_is_below_zero_counts_as_zero(project: Project) -> None:
    assert await cost(project, await done(project, uuid4())) == (None, None)
    assert await cost(project, await done(project, uuid4(), device_s=-5.0, cost_usd=-1.0)) == (0.0, 0.0)
    held = await project.held()
    await project.settle("fail_sessions", held, code="x", device_s=-5.0, cost_usd=-1.0)
    assert await cost(project, held) == (0.0, 0.0)


async def test_days_are_summed_by_kind_and_owner(project: Project, owner: UUID) -> None:
    other = uuid4()
    await at(project, DAY_1)
    await done(project, owner, **SPENT)
    await done(project, owner, device_s=1.0)
    await done(project, other)
    await at(project, DAY_2)
    await done(project, owner, cost_usd=0.5)
    await project.held(owner=owner)
    expected = [
        (DAY_1, "headshot", owner, 2, 13.5, 0.01),
        (DAY_1, "headshot", other, 1, None, None),
        (DAY_2, "headshot", owner, 1, None, 0.5),
    ]
    assert await daily(project) == sorted(expected, key=lambda row: (row[0], row[2]))
    report = await project.rpc("cost_report", p_days=2)
    assert [tuple(row.values()) for row in report] == [
        (DAY_2, "headshot", None, 1, None, 0.5),
        (DAY_1, "headshot", None, 3, 13.5, 0.01),
    ]
    (today,) = await project.rpc("cost_report", p_days=1, p_by_owner=True)
    assert (today["day"], today["owner"], today["cost_usd"]) == (DAY_2, owner, 0.5)


async def test_what_pruned_sessions_cost_stays_in_the_sums(project: Project, owner: UUID) -> None:
    await at(project, DAY_1)
    for spent in (SPENT, {"device_s": 1.0}, {}):
        await done(project, owner, **spent)
    before = await daily(project)
    assert before == [(DAY_1, "headshot", owner, 3, 13.5, 0.01)]
    await project.connection.execute("update listener.kinds set keep_days = 1 where kind = 'headshot'")
    await project.set_clock("2030-02-01 00:00:00+00")
    for left in (2, 1, 0):
        assert (await project.answer("sweep_sessions", p_limit=1))["pruned"] == 1
        assert await project.value("select count(*) from listener.sessions") == left
        assert await daily(project) == before
    assert (await project.answer("sweep_sessions"))["pruned"] == 0

"""The fairness table: four floods on the real SQL with the clock set by hand, one slot, five seconds a session."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.sql.project import SECOND_TABLE, Project

START = datetime(2030, 1, 1, tzinfo=UTC)
SESSION_S = 5
TOLERANCE_S = SESSION_S
"""A figure may be off by the session that runs when the row arrives."""


@dataclass
class Simulation:
    """A queue with one slot: sessions arrive at their times, each runs five seconds, the next is claimed at once."""

    project: Project
    worker: UUID
    kinds: tuple[str, ...]
    now_s: int = 0
    arrivals: dict[int, list[tuple[UUID, str, int]]] = field(default_factory=dict)
    started: list[tuple[int, UUID, str]] = field(default_factory=list)

    async def set_now(self, now_s: int) -> None:
        """Turn the database's clock."""
        self.now_s = now_s
        await self.project.set_clock(START + timedelta(seconds=now_s))

    def arrive(self, at_s: int, owner: UUID, count: int = 1, kind: str = "headshot") -> None:
        """Have rows of an owner come at a time."""
        self.arrivals.setdefault(at_s, []).append((owner, kind, count))

    async def run(self, until_s: int) -> None:
        """Run to a time, in whole seconds; all arrivals and sessions begin at whole seconds."""
        running, ends_s = None, 0
        for now_s in range(until_s + 1):
            arriving = self.arrivals.get(now_s, [])
            if not arriving and (now_s < ends_s or (running is None and now_s > 0)):
                continue
            await self.set_now(now_s)
            for owner, kind, count in arriving:
                await self.project.connection.execute(
                    f"insert into public.{kind}_sessions (user_id, prompt) "
                    "select $1, 'p' from generate_series(1, $2::int)",
                    owner,
                    count,
                )
            if now_s < ends_s:
                continue
            if running is not None:
                await self.project.outcomes("complete_sessions", self.worker, running)
            claimed = await self.project.claim(self.worker, 1, None, *self.kinds)
            running = None
            for row in claimed:
                running, ends_s = {"session": str(row["session"]), "attempt": 1}, now_s + SESSION_S
                self.started.append((now_s, row["owner"], row["kind"]))

    def waited_s(self, owner: UUID, arrived_s: int, kind: str = "headshot") -> int:
        """How long the owner's first row after a time waited."""
        return next(
            at - arrived_s for at, who, what in self.started if (who, what) == (owner, kind) and at >= arrived_s
        )


async def simulation(project: Project, *kinds: str) -> Simulation:
    """A worker with a long lease, and owners who can pay whatever they insert."""
    await project.set_clock(START)
    if "portrait" in kinds:
        await project.connection.execute(SECOND_TABLE)
    await project.connection.execute("update listener.session_tables set credits = 0")
    worker = await project.worker(lease_s=300, kinds=kinds)
    await project.connection.execute(
        "update listener.workers set lease_expires_at = $1 where id = $2", START + timedelta(days=1), worker
    )
    return Simulation(project, worker, kinds)


def told(case: str, first_come: str, published: str, measured: str) -> None:
    """Print a line of the table; `pytest -s` shows it."""
    print(f"\n| {case:<58} | {first_come:>11} | {published:>9} | {measured:>8} |")


async def test_a_regular_customer_behind_a_newcomers_flood_of_300(project: Project, owner: UUID) -> None:
    queue = await simulation(project, "headshot")
    for second in range(0, 40, SESSION_S):
        queue.arrive(second, owner)
    queue.arrive(40, uuid4(), 300)
    queue.arrive(41, owner)
    await queue.run(60)
    waited_s = queue.waited_s(owner, 41)
    told("a regular customer's row behind a newcomer's flood of 300", "1499 s", "9 s", f"{waited_s} s")
    assert waited_s == pytest.approx(9, abs=TOLERANCE_S)


async def test_the_first_row_in_a_second_kind_of_somebody_who_floods_the_first(project: Project, owner: UUID) -> None:
    queue = await simulation(project, "portrait")
    queue.arrive(0, owner, 300)
    for _ in range(20):
        queue.arrive(0, uuid4(), kind="portrait")
    queue.arrive(2, owner, kind="portrait")
    await queue.run(110)
    waited_s = queue.waited_s(owner, 2, "portrait")
    told("a flooder's first row in a second kind, 20 others there", "98 s", "98 s", f"{waited_s} s")
    assert waited_s == pytest.approx(98, abs=TOLERANCE_S)


async def test_two_kinds_with_a_backlog_share_a_worker_evenly(project: Project, owner: UUID) -> None:
    queue = await simulation(project, "headshot", "portrait")
    await project.connection.execute("update listener.virtual_times set virtual_time = 100000 where kind = 'portrait'")
    queue.arrive(0, owner, 120)
    queue.arrive(0, uuid4(), 120, "portrait")
    await queue.run(99 * SESSION_S)
    kinds = [kind for _, _, kind in queue.started]
    told(
        "shares of two kinds with a backlog, tags far apart",
        "100 : 0",
        "50 : 50",
        f"{kinds.count('headshot')} : {kinds.count('portrait')}",
    )
    assert len(kinds) == 100
    assert kinds.count("headshot") == 50


async def test_a_paid_row_behind_100_free_owners(project: Project, owner: UUID) -> None:
    queue = await simulation(project, "headshot")
    await project.answer("set_plan", p_owner=owner, p_plan="paid")
    for _ in range(100):
        queue.arrive(0, uuid4())
    queue.arrive(1, owner, 2)
    await queue.run(30)
    starts_s = [at for at, who, _ in queue.started if who == owner]
    told("two paid rows behind 100 free owners, the second one", "504 s", "9 s", f"{starts_s[1] - 1} s")
    assert [at - 1 for at in starts_s] == [4, 9]


async def test_nobody_starves_behind_the_paid(project: Project, owner: UUID) -> None:
    queue = await simulation(project, "headshot")
    await project.connection.execute("update listener.plans set head_start = 5 where plan = 'paid'")
    payers = [uuid4() for _ in range(3)]
    for payer in payers:
        await project.answer("set_plan", p_owner=payer, p_plan="paid")
    queue.arrive(0, payers[0], 60)
    queue.arrive(1, owner)
    for second, payer in zip(range(2, 400, SESSION_S), itertools.cycle(payers), strict=False):
        queue.arrive(second, payer)
    await queue.run(400)
    waited_s = queue.waited_s(owner, 1)
    told("a free row while paying owners (head start 5) never stop", "299 s", "ends", f"{waited_s} s")
    assert waited_s < 400

"""Kills workers at every step of their work, one after the other, while others go on; says what that cost.

A kill comes from the server's side: when a worker's call of the step arrives, before its work or after its commit, the
process that made the call is killed. So the daemon has no code for it, and "after" is the answer that was lost. Knows
the steps; what must hold is in promises.
"""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from devstack.faults import HttpFault
from tests.faults.app import App
from tests.faults.crew import Crew, Member

CALLS = {
    "register": "/rest/v1/rpc/register_worker",
    "heartbeat": "/rest/v1/rpc/heartbeat",
    "claim": "/rest/v1/rpc/claim_sessions",
    "progress": "/rest/v1/rpc/report_progress",
    "upload": "/storage/v1/object/headshots/*",
    "sign": "/storage/v1/object/sign/*",
    "record": "/rest/v1/rpc/add_artifacts",
    "complete": "/rest/v1/rpc/complete_sessions",
    "fail": "/rest/v1/rpc/fail_sessions",
    "cancel": "/rest/v1/rpc/cancel_sessions",
    "retry": "/rest/v1/rpc/retry_sessions",
    "release": "/rest/v1/rpc/release_sessions",
    "sweep": "/rest/v1/rpc/sweep_sessions",
}
WHEN: tuple[Literal["act_before", "act_after"], ...] = ("act_before", "act_after")
STEPS = [(name, when) for name in CALLS for when in WHEN]
WORKERS = 4
AT_ONCE = 3
"""Steps that are aimed at in the same moment: waiting for one of them is most of the time."""
BACKLOG = 10
STRIKES_WITHIN_S = 20.0
FREEZE_EACH_S = (15.0, 45.0)
FROZEN_S = 3.5
CRASH_EACH_S = (60.0, 120.0)


@dataclass
class Report:
    """What a storm did.  Units: rescue_s is how long a killed worker's sessions stayed its own."""

    seed: int
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: list[tuple[str, str]] = field(default_factory=list)
    rescue_s: list[float] = field(default_factory=list)
    duration_s: float = 0.0
    sessions: int = 0
    freezes: int = 0
    crashes: int = 0

    def __str__(self) -> str:
        """One paragraph."""
        count = sum(self.kills.values())
        ordered = sorted(self.rescue_s) or [0.0]
        return (
            f"seed {self.seed}: {count} kills at {len(self.kills)} steps in {self.duration_s:.0f} s, "
            f"{self.freezes} workers frozen, {self.crashes} crashes of PostgreSQL, {self.sessions} sessions; "
            f"rescue p50 {statistics.median(ordered):.2f} s, longest {ordered[-1]:.2f} s "
            f"({len(self.rescue_s)} kills left sessions behind, {len(self.missed)} aims met no call in time)"
        )


class Storm:
    """Kills over a crew."""

    def __init__(self, crew: Crew, app: App, seed: int) -> None:
        self.report = Report(seed)
        self._crew = crew
        self._app = app
        self._dice = random.Random(seed)
        self._steps: list[tuple[str, Literal["act_before", "act_after"]]] = []
        self._aimed = 0
        self._doomed: set[Member] = set()

    async def rage(self, kills: int, *, with_outages: bool = False) -> Report:
        """Kill so often, each step in turn, in the seed's order; with outages, freeze and crash others besides."""
        began = time.monotonic()
        for _ in range(WORKERS):
            await self._crew.start(is_ready=True)
        async with asyncio.TaskGroup() as group:
            besides = [group.create_task(self._app.keep_busy(BACKLOG))]
            if with_outages:
                besides += [group.create_task(self._freeze()), group.create_task(self._restart_postgres())]
            async with asyncio.TaskGroup() as killers:
                for _ in range(AT_ONCE):
                    killers.create_task(self._kill(kills, group))
            for task in besides:
                task.cancel()
        self.report.sessions = len(self._app.rows)
        self.report.duration_s = time.monotonic() - began
        return self.report

    async def _kill(self, kills: int, group: asyncio.TaskGroup) -> None:
        """One of those who kill; they share the steps of a round."""
        while self._aimed < kills:
            self._steps = self._steps or self._dice.sample(STEPS, len(STEPS))
            self._aimed += 1
            await self._kill_at(*self._steps.pop(), group)

    async def _kill_at(self, step: str, when: Literal["act_before", "act_after"], group: asyncio.TaskGroup) -> None:
        """Kill the worker that takes the step next, and start another in its place."""
        struck: asyncio.Future[Member] = asyncio.get_running_loop().create_future()

        def strike(port: int) -> None:
            member = self._crew.of_port(port)
            if member is not None and not struck.done() and member not in self._doomed:
                self._doomed.add(member)
                member.kill()
                struck.set_result(member)

        faults = self._crew.stack.faults
        fault = faults.hurt(HttpFault(kind=when, path=CALLS[step], times=None, act=strike))
        try:
            await self._provoke(step)
            dead = await asyncio.wait_for(struck, STRIKES_WITHIN_S)
        except TimeoutError:
            self.report.missed.append((step, when))
            self._steps.insert(0, (step, when))
            self._aimed -= 1
            return
        finally:
            faults.http.remove(fault)
        self.report.kills[step, when] += 1
        group.create_task(self._until_rescued(dead, time.monotonic()))
        await dead.until_ended()
        if len(self._crew.alive) < WORKERS:
            await self._crew.start()

    async def _freeze(self) -> None:
        """Stop some worker for longer than its lease, again and again."""
        while True:
            await asyncio.sleep(self._dice.uniform(*FREEZE_EACH_S))
            member = self._dice.choice(self._crew.alive or [None])
            if member is not None:
                member.send(signal.SIGSTOP)
                self.report.freezes += 1
                try:
                    await asyncio.sleep(FROZEN_S)
                finally:
                    member.send(signal.SIGCONT)

    async def _restart_postgres(self) -> None:
        """Crash the database, again and again."""
        while True:
            await asyncio.sleep(self._dice.uniform(*CRASH_EACH_S))
            await self._crew.stack.faults.restart_postgres()
            self.report.crashes += 1

    async def _provoke(self, step: str) -> None:
        """Bring about the steps that do not come by themselves."""
        if step == "register":
            await self._crew.start()
        elif step == "release":
            holder = await self._until_held(await self._app.insert("slow going"))
            if holder is not None:
                holder.send(signal.SIGTERM)
                await self._until_draining(holder)
                holder.send(signal.SIGTERM)
        elif step == "cancel":
            row = await self._app.insert("slow going")
            await self._until_held(row)
            await self._app.cancel(row)
        elif step in {"fail", "retry"}:
            await self._app.insert("fails always" if step == "fail" else "busy at first")

    async def _until_held(self, row: UUID) -> Member | None:
        """The worker that runs a session, if one soon does and lives."""
        with suppress(TimeoutError):
            worker = await self._app.until_held(row, STRIKES_WITHIN_S / 2)
            return next((member for member in self._crew.alive if member.worker == worker), None)
        return None

    async def _until_draining(self, member: Member) -> None:
        while not member.ended.is_set() and not member.logged("drain_started"):
            await asyncio.sleep(0.02)

    async def _until_rescued(self, dead: Member, killed_at: float) -> None:
        """Measure until nothing is the dead worker's any more."""
        if (worker := dead.worker) is None:
            return
        held = "select count(*) from listener.sessions where status = 'processing' and worker = $1::uuid"
        if not await self._app.ask(held, worker):
            return
        while await self._app.ask(held, worker):
            await asyncio.sleep(0.05)
        self.report.rescue_s.append(time.monotonic() - killed_at)

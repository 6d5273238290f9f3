"""Real workers, started by the dozen and ended as a test likes. Knows processes and their logs, not their work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from devstack.stack import Stack
from tests.support.worker import worker_environment

ROOT = Path(__file__).parents[2]
FAST = {
    "LISTENER_GENERATOR": "sketch",
    "LISTENER_LEASE_S": "2",
    "LISTENER_SWEEP_S": "0.5",
    "LISTENER_DRAIN_S": "5",
    "WORKER_CONCURRENCY": "3",
}
READY_WITHIN_S = 30.0
ENDS_WITHIN_S = 30.0


@dataclass(eq=False)
class Member:
    """One worker process."""

    pid: int
    log: Path
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    status: int | None = None

    def lines(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return found

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Its lines of one event."""
        return [line for line in self.lines() if line.get("event") == event]

    @property
    def worker(self) -> str | None:
        """The id it registered by, as soon as it said so."""
        return next((line["worker"] for line in self.lines() if "worker" in line), None)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it ended."""
        if not self.ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it where it stands."""
        self.send(signal.SIGKILL)

    def owns_port(self, port: int) -> bool:
        """Whether a connection from this local port is its own."""
        try:
            found = psutil.Process(self.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(each.laddr and each.laddr.port == port for each in found)

    async def until_ended(self, within_s: float = ENDS_WITHIN_S) -> int:
        """Its wait status."""
        async with asyncio.timeout(within_s):
            await self.ended.wait()
        assert self.status is not None
        return self.status


class Crew:
    """The workers of one stack."""

    def __init__(self, process: asyncio.subprocess.Process, stack: Stack, folder: Path) -> None:
        self.members: list[Member] = []
        self.stack = stack
        self._process = process
        self._folder = folder
        self._born: asyncio.Queue[Member] = asyncio.Queue()
        self._by_pid: dict[int, Member] = {}
        self._ordered: list[Path] = []
        self._births = 0

    @property
    def alive(self) -> list[Member]:
        """Those that have not ended."""
        return [member for member in self.members if not member.ended.is_set()]

    async def start(self, *, clock_skew_s: float = 0.0, is_ready: bool = False, **settings: str) -> Member:
        """Start a worker; with `is_ready`, return when it can claim."""
        log = self._folder / f"worker-{len(self._ordered)}.log"
        log.touch()
        self._ordered.append(log)
        order = {
            "environment": worker_environment(self.stack, **FAST | settings),
            "log": str(log),
            "clock_skew_s": clock_skew_s,
        }
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(order) + "\n").encode())
        member = await asyncio.wait_for(self._born.get(), READY_WITHIN_S)
        self.members.append(member)
        if is_ready:
            await self.until_logged(member, "worker_ready")
        return member

    async def until_logged(self, member: Member, event: str, within_s: float = READY_WITHIN_S) -> None:
        """Wait for a line in its log."""
        async with asyncio.timeout(within_s):
            while not member.logged(event):
                assert not member.ended.is_set(), f"the worker ended with {member.status}: {member.lines()[-5:]}"
                await asyncio.sleep(0.02)

    def of_port(self, port: int) -> Member | None:
        """Whose connection this is."""
        return next((member for member in self.alive if member.owns_port(port)), None)

    async def dismiss(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End everybody and wait for it."""
        for member in self.alive:
            member.send(signal.SIGCONT)
            member.send(number)
        for member in list(self.members):
            try:
                await member.until_ended()
            except TimeoutError:
                member.kill()
                await member.until_ended()

    async def read(self) -> None:
        """Take the nursery's answers until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "born" in said:
                member = Member(said["born"], self._ordered[self._births])
                self._births += 1
                self._by_pid[member.pid] = member
                self._born.put_nowait(member)
            else:
                member = self._by_pid[said["ended"]]
                member.status = said["status"]
                member.ended.set()


@asynccontextmanager
async def open_crew(stack: Stack, folder: Path) -> AsyncIterator[Crew]:
    """A nursery for workers of this stack; at the end nobody is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.nursery"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    crew = Crew(process, stack, folder)
    async with asyncio.TaskGroup() as group:
        group.create_task(crew.read())
        try:
            yield crew
        finally:
            await crew.dismiss(signal.SIGKILL)
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

"""A real worker process (`python -m listener run`) for tests, and what it logged."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

from tests.support.target import Place, target_of

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 60.0
READY = b'"worker_ready"'


class Worker:
    """One worker process; its log lines are kept as they come."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()

    @property
    def pid(self) -> int:
        return self.process.pid

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event so far."""
        return [line for line in self.lines if line.get("event") == event]

    async def until(self, seen: Callable[[], Any], within_s: float = 30.0) -> Any:
        """Wait until `seen()` is true after some log line."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: seen() or self.process.returncode is not None)
        assert seen(), f"the worker ended with {self.process.returncode}: {self.lines[-5:]}"
        return seen()

    async def until_logged(self, event: str, within_s: float = 30.0) -> dict[str, Any]:
        """Wait for the first line of an event."""
        await self.until(lambda: self.logged(event), within_s)
        return self.logged(event)[0]

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, if it still runs."""
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def read(self) -> None:
        """Collect stderr until its end."""
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            try:
                line = json.loads(raw)
            except ValueError:
                line = {"event": "not_json", "text": raw.decode(errors="replace")}
            async with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        await self.process.wait()
        async with self._changed:
            self._changed.notify_all()


def worker_environment(place: Place, **settings: str) -> dict[str, str]:
    """The environment of a worker of this project with the embedded weights."""
    project = target_of(place)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LISTENER_", "SUPABASE_"))}
    return kept | {
        "SUPABASE_URL": project.url,
        "SUPABASE_SERVICE_ROLE_KEY": project.service_role_key,
        "LISTENER_HEADSHOT_MODEL": "embedded",
        "LISTENER_HEADSHOT_WIDTH": "128",
        "LISTENER_HEADSHOT_HEIGHT": "128",
        "LISTENER_TRYON_SIDE_PX": "128",
        "LISTENER_PACK_WIDTH": "128",
        "LISTENER_PACK_HEIGHT": "128",
        "LISTENER_DEVICE": "cpu",
        "LISTENER_HTTP_PORT": "0",
        "LISTENER_HTTP_HOST": "127.0.0.1",
        **settings,
    }


@asynccontextmanager
async def running_worker(place: Place, waits_until: str = "worker_ready", **settings: str) -> AsyncIterator[Worker]:
    """Start a worker, wait for a line of its log (by default until it can claim), end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "listener",
        "run",
        cwd=ROOT,
        env=worker_environment(place, **settings),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    worker = Worker(process)
    reading = asyncio.create_task(worker.read())
    try:
        await worker.until_logged(waits_until, READY_WITHIN_S)
        yield worker
    finally:
        worker.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(15):
                await asyncio.shield(reading)
        except TimeoutError:
            worker.send(signal.SIGKILL)
            await reading


@contextmanager
def worker_in_the_background(place: Place, folder: Path) -> Iterator[None]:
    """A worker that outlives one test: its log goes to a file, it is ended by SIGTERM."""
    log = folder / "worker.log"
    with subprocess.Popen(
        [sys.executable, "-m", "listener", "run"],
        cwd=ROOT,
        env=worker_environment(place, LISTENER_AVATAR_MODEL="embedded"),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        is_ready = threading.Event()
        reading = threading.Thread(target=_keep, args=(process.stderr, log, is_ready))
        reading.start()
        try:
            is_ready.wait(READY_WITHIN_S)
            assert READY in log.read_bytes(), f"the worker did not get ready: {log.read_text()[-2000:]}"
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            reading.join()


def _keep(lines: IO[bytes], log: Path, is_ready: threading.Event) -> None:
    with log.open("wb") as kept:
        for line in lines:
            kept.write(line)
            kept.flush()
            if READY in line:
                is_ready.set()
    is_ready.set()  # it has ended

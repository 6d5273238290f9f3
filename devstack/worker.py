"""Worker processes beside the stack: started, watched until they can claim, drained at the end.

Knows the command, the environment and the one log line that says ready; imports nothing of the worker.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from devstack.environment import inherited

READY_EVENT = "worker_ready"
GRACE_S = "5"
STOP_LIMIT_S = 20.0
LONGEST_LINE_BYTES = 2**20
EMBEDDED = "embedded"
EMBEDDED_SIDE_PX = "256"
SIDES = (
    "LISTENER_HEADSHOT_WIDTH",
    "LISTENER_HEADSHOT_HEIGHT",
    "LISTENER_TRYON_SIDE_PX",
    "LISTENER_PACK_WIDTH",
    "LISTENER_PACK_HEIGHT",
)
"""The settings that say how large each kind draws."""

OnLog = Callable[[dict[str, Any]], None]


class WorkerEndedError(RuntimeError):
    """A worker process ended by itself; the text holds its last log lines."""


def worker_environment(url: str, service_role_key: str, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a worker of this stack is started with; the outer environment's LISTENER_* settings stay in force."""
    # A project's keys in the developer's shell must never meet the throwaway stack, or the other way round.
    given = inherited() if outer is None else outer
    kept = {name: value for name, value in given.items() if not name.startswith("SUPABASE_")}
    defaults = {"LISTENER_HEADSHOT_MODEL": EMBEDDED, "LISTENER_DEVICE": "auto", "LISTENER_DRAIN_S": GRACE_S}
    defaults["LISTENER_ESTIMATE_OPEN"] = "true"  # it listens to this machine alone
    if draws_noise(kept):
        # So small that a picture takes a second on a laptop's CPU.
        defaults |= dict.fromkeys(SIDES, EMBEDDED_SIDE_PX) | {"LISTENER_AVATAR_MODEL": EMBEDDED}
        defaults["LISTENER_PRELOAD"] = "headshot,tryon,pack"  # clips have weights of their own, made at their first use
    forced = {
        "SUPABASE_URL": url,
        "SUPABASE_SERVICE_ROLE_KEY": service_role_key,
        "SUPABASE_SECRET_KEY": service_role_key,  # its other name, which a .env file may hold
        "LISTENER_HTTP_HOST": "127.0.0.1",
        "LISTENER_HTTP_PORT": "0",
    }
    return defaults | kept | forced


def draws_noise(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the workers will use the tiny embedded weights."""
    given = inherited() if environment is None else environment
    return given.get("LISTENER_HEADSHOT_MODEL", EMBEDDED) == EMBEDDED


class Worker:
    """One worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.ready = asyncio.Event()
        self.url: str | None = None
        """Where it answers HTTP, once it is ready."""
        self._last: deque[str] = deque(maxlen=30)
        self._stopping = False

    @classmethod
    async def start(cls, environment: Mapping[str, str]) -> Worker:
        """Start a worker; it dies with this process. Call it from the main thread, to which the kernel ties it."""
        command = [sys.executable, "-m", "devstack.tether", str(os.getpid()), "-m", "listener", "run"]
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE_BYTES,
            start_new_session=True,  # else Ctrl-C would reach it twice
        )
        return cls(process)

    async def follow(self, on_log: OnLog) -> None:
        """Read its log until it ends.

        Raises: WorkerEndedError when nobody had asked it to stop.
        """
        if self.process.stderr is None:
            raise AssertionError("the process was started with a pipe")
        async for raw in self.process.stderr:
            text = raw.decode(errors="replace").rstrip()
            self._last.append(text)
            line = _parsed(text)
            on_log(line)
            if line["event"] == READY_EVENT:
                self.url = f"http://127.0.0.1:{line['port']}"
                self.ready.set()
        code = await self.process.wait()
        if not self._stopping:
            raise WorkerEndedError(
                "\n".join([f"the worker ended by itself (exit status {code}). Its last words:", *self._last])
            )

    async def stop(self) -> None:
        """Let it finish what it does and end it; killed when it takes too long or the wait is cancelled."""
        self._stopping = True
        try:
            self._send(signal.SIGTERM)
            async with asyncio.timeout(STOP_LIMIT_S):
                await self.process.wait()
        except TimeoutError:
            pass
        finally:
            self._send(signal.SIGKILL)
        await self.process.wait()

    def _send(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)


def _parsed(text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    return line if isinstance(line, dict) and "event" in line else {"event": "not_json", "text": text}

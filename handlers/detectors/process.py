"""The daemon's end of a detector: started with the first picture, shared by all, replaced when it dies.

Never imports what the child does: its memory and its native code stay there. Knows bytes and processes, no pictures.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog

import handlers
from listener.contract import EndpointStatus
from listener.errors import ModelUnavailable, RuntimeDied, TimeLimit

ROOT = Path(handlers.__file__).parents[1]
LENGTH = struct.Struct("!I")
ANSWER_MAX_BYTES = 4 << 20
START_S = 60.0
FIND_S = 15.0
REST_S = 5.0
"""How long nobody tries again after it did not start."""
TRIES = 2

log = structlog.get_logger()

T = TypeVar("T")


class ProcessEndedError(Exception):
    """The process is gone."""


class DetectorProcess(Generic[T]):
    """Answers one picture at a time: `read` makes of the child's answer what is found, None when nothing is.

    `name` is for people; `module` is what `handlers.detectors.serving` serves. Raises: from `read`, KeyError, TypeError
    or ValueError for an answer that is none.
    """

    def __init__(
        self, name: str, module: str, read: Callable[[Any], T], environment: Mapping[str, str] | None = None
    ) -> None:
        self._name = name
        self._module = module
        self._make = read
        self._environment = dict(environment or {})
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._failure = ""
        self._rests_until_s = 0.0
        self._starts = self._answered = 0

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process else None

    def status(self) -> EndpointStatus:
        """Tell whether it can work, and how often it had to be started."""
        details = {"starts": self._starts, "pictures": self._answered}
        if self._failure:
            return EndpointStatus(False, self._failure, details)
        if self._process is None:
            return EndpointStatus(True, "starts with the first request", details)
        return EndpointStatus(True, "running", details)

    async def find(self, picture: bytes) -> T | None:
        """Find the most prominent one; None when there is none.

        Raises: ModelUnavailable when it does not start, TimeLimit, RuntimeDied when it ends twice with this picture.
        """
        async with self._turn:
            for _ in range(TRIES):
                process = await self._started()
                try:
                    return await self._exchanged(process, picture)
                except ProcessEndedError as ended:
                    self._failure = f"the {self._name} process ended: {ended}"
                    log.error("detector_ended", detector=self._name, reason=str(ended))
            raise RuntimeDied(self._failure)

    async def close(self) -> None:
        """End it."""
        await self._end()

    async def _started(self) -> Process:
        """The running process, or a new one. Raises: ModelUnavailable."""
        if self._process is not None and self._process.returncode is None:
            return self._process
        now_s = asyncio.get_running_loop().time()
        if now_s < self._rests_until_s:
            raise ModelUnavailable(self._failure, retry_after_s=self._rests_until_s - now_s)
        self._starts += 1
        try:
            async with asyncio.timeout(START_S):
                process = self._process = await self._spawn()
                told = await _read(process)
            problem = str(told.get("failure", ""))
        except (OSError, TimeoutError, ValueError, ProcessEndedError) as error:
            problem = str(error) or f"it took longer than {START_S:g} s"
        except BaseException:
            await self._end()
            raise
        if problem:
            await self._end()
            self._failure, self._rests_until_s = f"the {self._name} process does not start: {problem}", now_s + REST_S
            log.error("detector_failed", detector=self._name, reason=problem)
            raise ModelUnavailable(self._failure, retry_after_s=REST_S)
        self._failure = ""
        log.info("detector_started", detector=self._name, pid=process.pid)
        return process

    async def _spawn(self) -> Process:
        environment = {**self._environment, "PYTHONPATH": str(ROOT)}  # no secret of ours reaches native code
        # -P: a file in the working directory must not pose as a library.
        arguments = (sys.executable, "-P", "-m", self._module, str(os.getpid()))
        return await asyncio.create_subprocess_exec(
            *arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment
        )

    async def _exchanged(self, process: Process, picture: bytes) -> T | None:
        """One picture and its answer. Left in the middle, the process is ended: its next answer would be another's."""
        try:
            async with asyncio.timeout(FIND_S):
                await _write(process, picture)
                told = await _read(process)
            found = told["found"]
            self._answered += 1
            return self._make(found) if found else None
        except TimeoutError:
            await self._end()
            raise TimeLimit(f"no {self._name} within {FIND_S:g} s") from None
        except (KeyError, TypeError, ValueError) as error:
            await self._end()
            raise ProcessEndedError(f"it babbled ({type(error).__name__})") from None
        except BaseException:
            await self._end()
            raise

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _write(process: Process, picture: bytes) -> None:
    if process.stdin is None:
        raise AssertionError("unreachable: it is a pipe")
    try:
        process.stdin.write(LENGTH.pack(len(picture)) + picture)
        await process.stdin.drain()
    except ConnectionError:
        raise ProcessEndedError(f"status {process.returncode}") from None


async def _read(process: Process) -> dict[str, Any]:
    if process.stdout is None:
        raise AssertionError("unreachable: it is a pipe")
    try:
        size = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))[0]
        if size > ANSWER_MAX_BYTES:
            raise ProcessEndedError(f"it announced {size} bytes")
        told: dict[str, Any] = json.loads(await process.stdout.readexactly(size))
    except asyncio.IncompleteReadError:
        raise ProcessEndedError(f"status {await process.wait()}") from None
    return told

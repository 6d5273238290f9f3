"""Runs a program under its warden until it ends, its time is up, or nobody wants it any more.

Knows processes and asyncio; does not know what the program is for.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

from handlers.infinitetalk.output import Output

WARDEN = Path(__file__).with_name("warden.py")
GRACE_S = 0.5
"""Between SIGTERM and SIGKILL."""
END_WITHIN_S = 30.0
"""What the kernel may take to bury what was killed: a driver that hangs holds a process for a while."""
CHUNK_BYTES = 64 << 10
BY_SIGNAL = 128
LOOK_S = 0.01

log = structlog.get_logger()


async def run_program(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float, output: Output
) -> int:
    """Run it in that folder; the answer is its exit code, a negative one the signal that ended it.

    Nothing of it lives when this is left, whatever way. Raises: TimeoutError after limit_s; OSError.
    """
    # -I: nothing of the environment, nor of the working directory, poses as a library of the warden.
    arguments = (sys.executable, "-I", str(WARDEN), str(os.getpid()), f"{GRACE_S:g}", *command)
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limit_s):
            await _drain(process, output)
    finally:
        await _end(process, output)
    return _meant(process.returncode or 0)


async def _drain(process: Process, output: Output) -> None:
    if process.stdout is None:
        raise AssertionError("unreachable: it is a pipe")
    while piece := await process.stdout.read(CHUNK_BYTES):
        output.feed(piece)
    output.end()
    await process.wait()


async def _end(process: Process, output: Output) -> None:
    """Have the warden end all; left in the middle, or too slow, all that is seen is killed from here."""
    if process.returncode is not None:
        return
    try:
        with suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(GRACE_S + END_WITHIN_S):
            await _drain(process, output)
    except TimeoutError:
        _kill_all(process.pid)
        log.critical("engine_does_not_end", pid=process.pid)
    except BaseException:
        _kill_all(process.pid)
        raise


def _kill_all(pid: int) -> None:
    """Leave nobody alive without waiting for anything but the kernel: the warden ends when all below it are dead."""
    until_s = time.monotonic() + GRACE_S
    with suppress(psutil.NoSuchProcess):
        warden = psutil.Process(pid)
        while warden.status() != psutil.STATUS_ZOMBIE:
            late = time.monotonic() > until_s
            for one in [*warden.children(recursive=True), *([warden] if late else [])]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            if late:
                return
            time.sleep(LOOK_S)


def _meant(code: int) -> int:
    """The program's own code: shells and wardens tell a signal as a number above 128."""
    return BY_SIGNAL - code if BY_SIGNAL < code <= BY_SIGNAL + signal.NSIG else code

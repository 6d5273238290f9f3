"""Runs a program under its warden until it ends, its time is up, or nobody wants it any more.

Knows processes and asyncio; does not know what the program is for. asyncio's own subprocesses are not used: cancelled
while one starts that has started others, they wait for the others to let go of its output (CPython 3.11 and 3.12), and
a device would be lent as long.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
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
SILENCE_S = 0.5
"""After so long without a word the warden is looked at: one that was killed cannot end what holds its output open."""

log = structlog.get_logger()


async def run_program(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float, output: Output
) -> int:
    """Run it in that folder; the answer is its exit code, a negative one the signal that ended it.

    Nothing of it lives when this is left, whatever way. Raises: TimeoutError after limit_s; OSError.
    """
    warden = _start(command, folder, environment)
    reader = asyncio.StreamReader()
    pipe: asyncio.ReadTransport | None = None
    try:
        async with asyncio.timeout(limit_s):
            loop = asyncio.get_running_loop()
            pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), warden.stdout)
            await _follow(warden, reader, output)
    finally:
        await _end(warden)
        if warden.returncode is not None and warden.returncode < 0:
            _kill_orphans(folder)
        if pipe is not None:
            pipe.close()
        if warden.stdout is not None:
            warden.stdout.close()
    return _meant(warden.returncode or 0)


def _start(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # -I: nothing of the environment, nor of the working directory, poses as a library of the warden.
    arguments = (sys.executable, "-I", str(WARDEN), str(os.getpid()), f"{GRACE_S:g}", *command)
    return subprocess.Popen(  # noqa: S603 the operator's own command, and no shell
        arguments,
        bufsize=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
    )


async def _follow(warden: subprocess.Popen[bytes], reader: asyncio.StreamReader, output: Output) -> None:
    """Read what is printed until the warden has ended, which is after all others."""
    while not reader.at_eof():
        try:
            async with asyncio.timeout(SILENCE_S):
                output.feed(await reader.read(CHUNK_BYTES))
        except TimeoutError:
            if warden.poll() is not None:
                break
    output.end()
    await _over(warden)


async def _over(warden: subprocess.Popen[bytes]) -> None:
    while warden.poll() is None:  # noqa: ASYNC110 the end of a process is no event of this loop
        await asyncio.sleep(LOOK_S)


async def _end(warden: subprocess.Popen[bytes]) -> None:
    """Have the warden end all; left in the middle, or too slow, all that is seen is killed from here."""
    if warden.poll() is not None:
        return
    try:
        warden.terminate()
        async with asyncio.timeout(GRACE_S + END_WITHIN_S):
            await _over(warden)
    except TimeoutError:
        _kill_all(warden)
        log.critical("engine_does_not_end", pid=warden.pid)
    except BaseException:
        _kill_all(warden)
        raise


def _kill_all(warden: subprocess.Popen[bytes]) -> None:
    """Leave nobody alive without waiting for anything but the kernel: the warden ends when all below it are dead."""
    until_s = time.monotonic() + GRACE_S
    with suppress(psutil.NoSuchProcess):
        while warden.poll() is None:
            late = time.monotonic() > until_s
            for one in psutil.Process(warden.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            if late:
                warden.kill()
                return
            time.sleep(LOOK_S)


def _kill_orphans(folder: Path) -> None:
    """Somebody killed the warden: what it leaves is known by its folder for temporary files."""
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if one.environ().get("TMPDIR") == str(folder):
                one.kill()


def _meant(code: int) -> int:
    """The program's own code: shells and wardens tell a signal as a number above 128."""
    return BY_SIGNAL - code if BY_SIGNAL < code <= BY_SIGNAL + signal.NSIG else code

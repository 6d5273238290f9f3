"""`python -m listener ...` as a process against a stack, to its end."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.target import Place
from tests.support.worker import ROOT, worker_environment


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    status: int
    said: str
    complained: str


async def listener(
    *arguments: str, place: Place | None = None, folder: Path = ROOT, within_s: float = 60.0, **settings: str
) -> Ended:
    """Run a command; with a project, as a worker of it would be configured."""
    environment = worker_environment(place, **settings) if place else settings
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "listener",
        *arguments,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)} | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(within_s):
        said, complained = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, said.decode(), complained.decode())

"""`python -m listener ...` as a process against a stack, to its end."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from devstack.stack import Stack
from tests.support.worker import ROOT, worker_environment


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    status: int
    said: str
    complained: str


async def listener(
    *arguments: str, stack: Stack | None = None, folder: Path = ROOT, within_s: float = 60.0, **settings: str
) -> Ended:
    """Run a command; with a stack, as a worker of it would be configured."""
    environment = worker_environment(stack, **settings) if stack else settings
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

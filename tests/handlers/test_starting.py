"""Who is cancelled while he starts a process is gone at once, and so is the process, at whatever step it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from handlers.detectors.process import DetectorProcess
from handlers.inputs.confined import confined
from handlers.runtime.environment import child_environment
from handlers.runtime.process import Child
from handlers.weights.files import ModelFiles
from handlers.weights.repository import Repository
from listener.contract import GeneratorConfig

STEPS = 14
"""So many turns of the loop a start takes at most, and a few more."""
GONE_S = 5.0


async def decode(folder: Path) -> None:
    script = folder / "slow.py"
    script.write_text("import sys; sys.stdin.buffer.read()\nwhile True: pass\n")
    await confined(script, (), b"data", 10, 60)


async def find(_folder: Path) -> None:
    await DetectorProcess("face", "handlers.faces.finder", lambda found: found).find(b"data")


async def bring(folder: Path) -> None:
    await ModelFiles([Repository("a/b", "b", ("*",), 1)], folder).ensure(lambda _note: None)


async def load(_folder: Path) -> None:
    async with asyncio.TaskGroup() as group:
        child = await Child.spawn(child_environment(GeneratorConfig((), "/cache")), lambda: (), group)
        try:
            await child.receive()
        finally:
            child.kill()
            await child.close()


@pytest.mark.parametrize("start", [decode, find, bring, load])
async def test_cancelled_at_any_step_of_a_start_it_ends_and_leaves_no_process(
    start: Callable[[Path], Awaitable[None]], tmp_path: Path
) -> None:
    before = set(psutil.Process().children())
    for step in range(STEPS):
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(start(tmp_path))
            for _ in range(step):
                await asyncio.sleep(0)
            starting.cancel()
            async with asyncio.timeout(GONE_S):
                await asyncio.wait({starting})
        assert starting.cancelled(), f"at step {step}"
        left = [one for one in psutil.Process().children() if one not in before]
        assert left == [], f"at step {step}"

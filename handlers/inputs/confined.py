"""Runs a decoder as a process of its own: bytes in, bytes out, killed when it takes too long or answers too much.

Knows processes; what a decoder may reach and hold, the decoder sees to itself before it reads.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


async def confined(
    script: Path, arguments: Sequence[object], data: bytes, answer_max_bytes: int, within_s: float
) -> tuple[int, bytes]:
    """Let a script read `data` on its standard input; its exit status and what it answered.

    Raises: TimeoutError when it takes longer than `within_s`.
    """
    # No environment: it holds our keys. -I: no folder of the caller's on its path.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(script), *map(str, arguments), stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}
    )
    try:
        async with asyncio.timeout(within_s):
            answer = await _exchange(process, data, answer_max_bytes)
            return await process.wait(), answer
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _exchange(process: Process, data: bytes, most_bytes: int) -> bytes:
    """Give it the file and take what it answers, but no more than an answer can be."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("unreachable: both are pipes")
    with suppress(ConnectionError):  # it may have seen enough
        process.stdin.write(data)
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()
    answer = bytearray()
    while chunk := await process.stdout.read(2**16):
        answer += chunk
        if len(answer) > most_bytes:
            process.kill()
            break
    return bytes(answer)

"""The daemon's end of the process that decodes sound and clips. Knows its limits and answers; decodes nothing."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from handlers.inputs.confined import confined

DECODER = Path(__file__).with_name("decoder.py")
DECODERS = 2
"""So many at once; a decoder is one core's work."""
CPU_S = 30
DECODE_S = 60.0
FIXED_BYTES = 128 * 2**20
HEAD_MAX_BYTES = 4096

_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class NotDecodedError(Exception):
    """It was not decoded; `why` is the decoder's word, `slow` for too long, or `broken`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


async def decode(what: str, data: bytes, longest_s: float, body_max_bytes: int) -> tuple[dict[str, Any], bytes]:
    """Decode `wav`, `mp3` or `mp4`; its facts, unchecked, and the bytes behind them. Raises: NotDecodedError."""
    memory_bytes = FIXED_BYTES + 2 * len(data) + 3 * body_max_bytes
    line = _lines.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(DECODERS))
    try:
        async with line:
            arguments = (what, memory_bytes, CPU_S, longest_s)
            status, answer = await confined(DECODER, arguments, data, HEAD_MAX_BYTES + body_max_bytes, DECODE_S)
    except TimeoutError:
        raise NotDecodedError("slow") from None
    if status != 0:
        raise NotDecodedError("slow" if status == -signal.SIGXCPU else "broken")
    head, _, body = answer.partition(b"\n")
    try:
        facts = json.loads(head) if len(head) <= HEAD_MAX_BYTES else {}
    except ValueError:
        facts = {}
    if not isinstance(facts, dict) or not facts or "refused" in facts:
        raise NotDecodedError(str(facts["refused"]) if isinstance(facts, dict) and "refused" in facts else "broken")
    return facts, body

"""Turns what the child prints into bounded, structured log lines. Never a prompt."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from handlers.runtime.redaction import redact

LINE_CHARS_MAX = 500
LINES_PER_WINDOW = 100
WINDOW_S = 10.0
CHUNK_BYTES = 8192

log = structlog.get_logger()


class Output:
    """One child's printed lines; `prompts` names the texts that must not appear."""

    def __init__(self, pid: int, prompts: Callable[[], Iterable[str | None]]) -> None:
        self._pid = pid
        self._prompts = prompts
        self._window_from_s = 0.0
        self._in_window = 0
        self.last_lines: deque[str] = deque(maxlen=20)

    async def relay(self, stream: asyncio.StreamReader, name: str) -> None:
        """Log a stream line by line until it ends."""
        rest = b""
        while chunk := await stream.read(CHUNK_BYTES):
            *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
            if len(rest) > CHUNK_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._tell(line, name)
        self._tell(rest, name)

    def _tell(self, raw: bytes, name: str) -> None:
        text = raw.decode(errors="replace").strip()
        if not text:
            return
        line = redact(text[:LINE_CHARS_MAX], self._prompts())
        self.last_lines.append(line)
        now_s = asyncio.get_running_loop().time()
        if now_s - self._window_from_s > WINDOW_S:
            self._window_from_s, self._in_window = now_s, 0
        self._in_window += 1
        if self._in_window <= LINES_PER_WINDOW:
            log.info("runtime_output", stream=name, line=line, pid=self._pid)
        elif self._in_window == LINES_PER_WINDOW + 1:
            log.warning("runtime_output_dropped", pid=self._pid, window_s=WINDOW_S)

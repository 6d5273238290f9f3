"""What the program prints: its steps, whether memory or the disk ran out, and its last words, bounded.

Knows text alone: nothing that it reads decides more than what is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable

TAIL_BYTES = 64 << 10
LINE_BYTES_MAX = 4096
# A bar of steps has no name before it; those of loading and saving have one.
BAR = re.compile(rb"\s*\d{1,3}%\|[^|]*\|\s*(\d{1,6})/(\d{1,6}) \[")
NO_MEMORY = re.compile(rb"out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|\bMemoryError\b", re.IGNORECASE)
NO_ROOM = re.compile(rb"No space left on device|Disk quota exceeded", re.IGNORECASE)
FAILURE = re.compile(rb"(?:[a-z_]\w{0,40}\.){0,6}([A-Z]\w{0,60}(?:Error|Exception|Interrupt))\b")


class Output:
    """Takes what is printed, piece by piece; `on_step` is told the steps done of `clips` bars of `steps` each."""

    def __init__(self, clips: int, steps: int, on_step: Callable[[int, int], None]) -> None:
        self._clips = clips
        self._steps = steps
        self._on_step = on_step
        self._bars = self._in_bar = self._told = 0
        self._rest = b""
        self._tail = bytearray()
        self.size_bytes = 0
        self.lacked_memory = False
        self.lacked_room = False
        self.failure = ""
        """The class of the last exception that was named; nothing else of its line."""

    def feed(self, piece: bytes) -> None:
        """Take a piece, which may end anywhere."""
        self.size_bytes += len(piece)
        self._tail += piece
        del self._tail[:-TAIL_BYTES]
        *lines, self._rest = (self._rest + piece).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._read(line[:LINE_BYTES_MAX])
        if bar := BAR.match(self._rest):  # bars are drawn from the beginning of a line, which ends with the next one
            self._count(int(bar[1]), int(bar[2]))
        while len(self._rest) > LINE_BYTES_MAX:  # a line without an end
            self._read(self._rest[:LINE_BYTES_MAX])
            self._rest = self._rest[LINE_BYTES_MAX:]

    def end(self) -> None:
        """Take the last line."""
        self._read(self._rest)
        self._rest = b""

    @property
    def tail(self) -> str:
        """The last of it, as it came."""
        return self._tail.decode(errors="replace")

    def _read(self, line: bytes) -> None:
        if bar := BAR.match(line):
            self._count(int(bar[1]), int(bar[2]))
            return
        self.lacked_memory |= NO_MEMORY.search(line) is not None
        self.lacked_room |= NO_ROOM.search(line) is not None
        if failure := FAILURE.match(line):
            self.failure = failure[1].decode()

    def _count(self, done: int, total: int) -> None:
        if total != self._steps or done > total:
            return
        if done < self._in_bar:
            self._bars += 1  # the next part of the clip has begun
        self._in_bar = done
        whole = self._clips * self._steps
        reached = min(self._bars * self._steps + done, whole)
        if reached > self._told:
            self._told = reached
            self._on_step(reached, whole)

"""A spare child that has imported the libraries and holds neither weights nor a device: a restart costs a load only.

Knows how a child is started and what memory is left; does not know what the child will be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from handlers.runtime.process import Child
from handlers.runtime.room import available_mib

LOOK_S = 60.0
ROOM_MIB = 2048
"""What must be free for a spare to be started (it takes some 400 MiB); with half of it left, the spare is given up."""

log = structlog.get_logger()


class Standby:
    """At most one spare child; once wanted, one is kept until it is taken."""

    def __init__(self, spawn: Callable[[Sequence[str]], Awaitable[Child]]) -> None:
        self._spawn = spawn
        self._child: Child | None = None
        self._classes: tuple[str, ...] | None = None
        self._asked = asyncio.Event()
        self._refused = ""

    def want(self, classes: Sequence[str]) -> None:
        """Keep a spare from now on that knows these pipeline classes."""
        if self._classes is None:
            self._classes = tuple(classes)
            self._asked.set()

    async def take(self) -> Child | None:
        """Give away the spare, if there is one that lives; another follows when it is wanted again."""
        child, self._child, self._classes = self._child, None, None
        if child is None or child.is_alive:
            return child
        await self._bury(child)
        return None

    def facts(self) -> dict[str, object] | None:
        """Tell about the spare: its process, and whether it has imported everything."""
        return None if self._child is None else {"pid": self._child.pid, "imported": self._child.imported}

    async def keep(self) -> None:
        """Have a spare whenever one is wanted, until cancelled; look every minute whether it still is there."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._asked.wait()
                self._asked.clear()
                await self._look()
        finally:
            if self._child is not None:
                await self._child.close()

    async def _look(self) -> None:
        left_mib = available_mib()
        if self._child is not None and (not self._child.is_alive or left_mib < ROOM_MIB // 2):
            child, self._child = self._child, None
            await self._bury(child)
        elif self._child is None and self._classes is not None:
            if left_mib < ROOM_MIB:
                self._refuse(f"{left_mib} MiB of memory are free, {ROOM_MIB} MiB are wanted")
            else:
                await self._start(self._classes)

    async def _start(self, classes: Sequence[str]) -> None:
        try:
            self._child = await self._spawn(classes)
        except OSError as error:
            self._refuse(f"it could not be started: {error}")
        else:
            self._refused = ""
            log.info("standby_started", pid=self._child.pid)

    def _refuse(self, reason: str) -> None:
        if not self._refused:
            log.warning("standby_missing", reason=reason)
        self._refused = reason

    async def _bury(self, child: Child) -> None:
        log.warning("standby_lost", pid=child.pid, exit=await child.close(), last_lines=child.last_lines)

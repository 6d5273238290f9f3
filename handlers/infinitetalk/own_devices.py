"""Devices that nobody else in this worker has: each is lent to one engine at a time, in order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


class OwnDevices:
    """A lender of devices on which no models lie."""

    def __init__(self, names: Sequence[str]) -> None:
        self._free = deque(names)
        self._turn = asyncio.Semaphore(len(names))

    @asynccontextmanager
    async def exclusive(self, _borrower: str, /) -> AsyncIterator[str]:
        """Wait in line for a device and yield its name."""
        async with self._turn:
            name = self._free.popleft()
            try:
                yield name
            finally:
                self._free.append(name)

"""The latch that every source sets and the claim loop clears; it carries no data and knows no source."""

from __future__ import annotations

import asyncio


class WakeUp:
    """Remembers that someone said "look" since it was last cleared."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.last_reason = ""

    def set(self, reason: str) -> None:
        """Open the latch. Safe from any callback on the loop; never blocks, never raises."""
        self.last_reason = reason
        self._event.set()

    def clear(self) -> None:
        """Close the latch: call it strictly before looking, or a wake-up that lands meanwhile is lost."""
        self._event.clear()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is open; false when the time was up first."""
        return await opened(self._event, timeout_s)


async def opened(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait for an event; false when the time was up first."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True

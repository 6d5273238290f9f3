"""The webhook source: turns what the HTTP endpoint accepted into wake-ups, at a bounded rate.

Knows neither HTTP nor what was sent: a webhook carries nothing but "look", so many of them are one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

INTERVAL_S = 0.05
"""At most so often: twenty looks a second cost the database little, and nobody waits longer than a blink."""


class WebhookSource:
    """Wake-ups from webhooks. Units: interval_s is seconds."""

    name = "webhook"

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._heard = asyncio.Event()

    def fresh(self) -> bool:
        """Never known: a webhook that came does not promise the next one."""
        return False

    def hear(self) -> None:
        """An authentic webhook came. The first one wakes at once, a burst wakes once more after it."""
        self._heard.set()

    async def run(self, wake: Callable[[str], None]) -> None:
        """Wake until cancelled."""
        while True:
            await self._heard.wait()
            self._heard.clear()
            wake("webhook")
            await asyncio.sleep(self._interval_s)

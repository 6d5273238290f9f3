"""The clocks of this machine, behind the port; nothing else reads them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

# A suspended machine's lease runs on: where there is a clock that counts the sleep, it is the one to trust.
INTERVALS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """Real time."""

    def monotonic(self) -> float:
        """Seconds that only grow; for intervals."""
        return time.clock_gettime(INTERVALS)

    def now(self) -> datetime:
        """The time of day in UTC; for what people read."""
        return datetime.now(UTC)

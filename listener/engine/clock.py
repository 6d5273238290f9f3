"""The clocks of this machine, behind the port; nothing else reads them."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Real time."""

    def monotonic(self) -> float:
        """Seconds that only grow; for intervals."""
        return time.monotonic()

    def now(self) -> datetime:
        """The time of day in UTC; for what people read."""
        return datetime.now(UTC)

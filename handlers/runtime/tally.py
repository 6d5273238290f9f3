"""What one device has been through, counted since the daemon started. Knows no process; the metrics read it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """Counts of one device. Units: busy_s is seconds in which it drew; load_s the newest load of each kind."""

    restarts: Counter[str] = field(default_factory=Counter)
    out_of_memory: int = 0
    busy_s: float = 0.0
    load_s: dict[str, float] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """All of it, for the status."""
        return {
            "restarts_by": dict(self.restarts),
            "out_of_memory": self.out_of_memory,
            "busy_s": round(self.busy_s, 3),
            "load_s": dict(self.load_s),
        }

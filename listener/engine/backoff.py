"""Growing delays with full jitter; knows nothing of what is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Delays for one thing that keeps failing.

    Units: seconds.
    Source: "full jitter", Exponential Backoff And Jitter, AWS Architecture Blog.
    """

    first_s: float = 0.2
    limit_s: float = 15.0
    failures: int = 0

    def next_s(self) -> float:
        """Count a failure and draw the delay before the next try; never below a tenth of the bound."""
        bound = min(self.limit_s, self.first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return random.uniform(bound / 10, bound)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Begin again after a success."""
        self.failures = 0

"""How long to wait before the next start. Knows no clock."""

from __future__ import annotations

DELAYS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)


class Backoff:
    """Growing delays; the first is nothing for what had worked before."""

    def __init__(self) -> None:
        self._next = 0

    def next_s(self, *, had_worked: bool) -> float:
        """Take the next delay."""
        index = self._next if had_worked else max(self._next, 1)
        self._next = min(index + 1, len(DELAYS_S) - 1)
        return DELAYS_S[index]

    def reset(self) -> None:
        """Begin anew after a success."""
        self._next = 0

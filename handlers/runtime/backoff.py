"""How long to wait before the next start, or before the next try of what did not load. Knows no clock."""

from __future__ import annotations

DELAYS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
WORK_SHARE = 4
"""While others can work, what does not load is not tried again before so many times what the last try took."""
WORK_MAX_S = 600.0


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


class Reload:
    """When what did not load is tried again, while others can work: the later, the more each try costs them.

    Units: seconds; `at_s` is on the caller's clock, None where all is loaded.
    """

    def __init__(self) -> None:
        self.at_s: float | None = None
        self._lost_s = 0.0
        self._backoff = Backoff()

    def is_due(self, now_s: float) -> bool:
        """Tell whether it is time; also where nothing was tried yet."""
        return self.at_s is None or now_s >= self.at_s

    def failed(self, lost_s: float) -> None:
        """Something did not load, which took so long."""
        self._lost_s += lost_s

    def tried(self, now_s: float, *, is_whole: bool, ended_the_child: bool = False) -> None:
        """All that was due was tried; a try that ended the child cost what was loaded, too."""
        if is_whole:
            self._backoff.reset()
            self.at_s = None
        elif self._lost_s or ended_the_child:
            delay_s = DELAYS_S[-1] if ended_the_child else self._backoff.next_s(had_worked=False)
            self.at_s = now_s + max(delay_s, min(WORK_SHARE * self._lost_s, WORK_MAX_S))
        self._lost_s = 0.0

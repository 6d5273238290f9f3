"""When a worker may claim: always, or only while somebody asked for work. Knows neither who asks nor what for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Shift:
    """Open while at least one order is under way; `looks` counts the answers of claims, empty ones too."""

    def __init__(self, *, is_open: bool = True) -> None:
        self._orders = 1 if is_open else 0
        self.looks = 0
        self.wake: Callable[[str], None] = lambda _reason: None

    @property
    def is_open(self) -> bool:
        """Whether sessions may be claimed."""
        return self._orders > 0

    @contextmanager
    def order(self) -> Iterator[Callable[[], None]]:
        """Keep it open in here, or until what this yields is called."""
        is_left = False
        self._orders += 1
        self.wake("order")

        def leave() -> None:
            nonlocal is_left
            self._orders -= not is_left
            is_left = True

        try:
            yield leave
        finally:
            leave()

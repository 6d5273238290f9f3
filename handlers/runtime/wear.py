"""When a child that works is to be replaced all the same: it is old, or its memory grew too far. Knows figures only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from listener.contract import GeneratorConfig


class Wear:
    """The wear of one child after the other."""

    def __init__(self, config: GeneratorConfig) -> None:
        self._runs_max = config.recycle_after_runs
        self._growth_max_mib = config.recycle_growth_mib
        self.begin()

    def begin(self) -> None:
        """A new child."""
        self._runs = 0
        self._first_mib = 0.0

    def did(self, runs: int) -> None:
        """It came to the end of so many runs."""
        self._runs += runs

    def reason(self, memory: Mapping[str, Any]) -> str:
        """Tell why it is to be replaced; empty while it is not. `memory` is what it told last."""
        if 0 < self._runs_max <= self._runs:
            return f"it has done {self._runs} runs"
        rss_mib = float(memory.get("rss_mib", 0.0))
        self._first_mib = self._first_mib or (rss_mib if self._runs else 0.0)
        grown_mib = rss_mib - self._first_mib
        if self._first_mib and grown_mib > self._growth_max_mib:
            return f"its memory grew by {grown_mib:.0f} MiB since its first run"
        return ""

"""How many images are drawn at once: as many as are asked for and allowed, and fewer once memory ran out.

Knows no pipeline; a shape is whatever decides about the memory of one image.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

GROW_AFTER_S = 600.0
GROW_AFTER_S_MAX = 4 * 3600.0


@dataclass(slots=True)
class _Ceiling:
    """What worked last, until when it is believed, and for how long; `is_tried`: more than that is being tried."""

    images: int
    until_s: float
    lasts_s: float
    is_tried: bool = False


class BatchSizes:
    """What was learned about each shape since the set of loaded pipelines last changed.

    What was learned from one bad moment is not believed for ever: after ten minutes twice as many are tried. Where
    memory runs out again, the next try comes after twice the time, up to four hours.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ceilings: dict[Hashable, _Ceiling] = {}

    def allowed(self, shape: Hashable, wanted: int) -> int:
        """Tell how many of the wanted images to draw at once; at least one."""
        ceiling = self._ceilings.get(shape)
        if ceiling is None:
            return max(1, wanted)
        now_s = self._clock()
        if wanted > ceiling.images and now_s >= ceiling.until_s:
            ceiling.images *= 2
            ceiling.until_s, ceiling.is_tried = now_s + ceiling.lasts_s, True
        return max(1, min(wanted, ceiling.images))

    def ran_out(self, shape: Hashable, tried: int) -> None:
        """Learn that so many at once were too many."""
        known = self._ceilings.get(shape)
        lasts_s = GROW_AFTER_S if known is None else known.lasts_s
        if known is not None and known.is_tried:
            lasts_s = min(2 * lasts_s, GROW_AFTER_S_MAX)
        self._ceilings[shape] = _Ceiling(max(1, tried // 2), self._clock() + lasts_s, lasts_s)

    def forget(self) -> None:
        """Begin anew: other pipelines are loaded, and with them other room."""
        self._ceilings.clear()

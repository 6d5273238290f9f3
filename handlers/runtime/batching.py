"""How many images are drawn at once: as many as are asked for and allowed, and fewer once memory ran out.

Knows no pipeline; a shape is whatever decides about the memory of one image.
"""

from __future__ import annotations

from collections.abc import Hashable


class BatchSizes:
    """What was learned about each shape since the set of loaded pipelines last changed."""

    def __init__(self) -> None:
        self._ceilings: dict[Hashable, int] = {}

    def allowed(self, shape: Hashable, wanted: int) -> int:
        """Tell how many of the wanted images to draw at once; at least one."""
        return max(1, min(wanted, self._ceilings.get(shape, wanted)))

    def ran_out(self, shape: Hashable, tried: int) -> None:
        """Learn that so many at once were too many."""
        self._ceilings[shape] = max(1, tried // 2)

    def forget(self) -> None:
        """Begin anew: other pipelines are loaded, and with them other room."""
        self._ceilings.clear()

    def learned(self) -> dict[str, int]:
        """Tell what was learned."""
        return {str(shape): ceiling for shape, ceiling in self._ceilings.items()}

"""A person as the pose process saw it: 33 landmarks and the outline. Knows their order; not what they measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOSE = 0
EYES = (2, 5)
SHOULDERS, ELBOWS, WRISTS = (11, 12), (13, 14), (15, 16)
HIPS, KNEES, ANKLES, HEELS, TOES = (23, 24), (25, 26), (27, 28), (29, 30), (31, 32)
LANDMARKS = 33

Run = tuple[int, int]
"""The first and the last pixel of a row's part that lies inside the outline."""


@dataclass(frozen=True, slots=True)
class Landmark:
    """Where a joint is. Units: pixels, y downwards; z towards the camera is negative; visibility 0 to 1."""

    x: float
    y: float
    z: float
    visibility: float


@dataclass(frozen=True, slots=True)
class Person:
    """The most prominent person of a picture. Units: pixels.

    Shapes: 33 landmarks in MediaPipe's order; `rows` by y, each with its runs from left to right.
    """

    width: int
    height: int
    landmarks: tuple[Landmark, ...]
    rows: Mapping[int, tuple[Run, ...]]
    is_alone: bool = True

    def middle(self, pair: tuple[int, int]) -> tuple[float, float]:
        """The point between a left and a right landmark."""
        left, right = (self.landmarks[index] for index in pair)
        return (left.x + right.x) / 2, (left.y + right.y) / 2


def person_of(told: Mapping[str, Any]) -> Person:
    """Read what the pose process told. Raises: ValueError, KeyError, TypeError for anything else."""
    landmarks = tuple(Landmark(*map(float, one)) for one in told["landmarks"])
    if len(landmarks) != LANDMARKS:
        raise ValueError(f"{len(landmarks)} landmarks")
    rows = {int(y): tuple((int(first), int(last)) for first, last in runs) for y, runs in told["rows"].items()}
    return Person(int(told["width"]), int(told["height"]), landmarks, rows, bool(told["is_alone"]))

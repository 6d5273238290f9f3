"""Measures of a body from its landmarks and outline, in centimetres. Knows proportions; does not know sizes.

Widths are read from the outline; how deep a body is no photograph from the front tells, so girths assume an ellipse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise

from handlers.sizing.person import ELBOWS, HIPS, SHOULDERS, WRISTS, Person, Run
from handlers.sizing.scale import Scale

# Levels between the shoulder joints (0) and the hip joints (1).
CHEST_LEVELS = (0.25, 0.45)
WAIST_LEVELS = (0.5, 0.85)
HIP_LEVELS = (0.9, 1.2)
# Depth of the body as a share of its width.
CHEST_DEPTH, WAIST_DEPTH, HIP_DEPTH = 0.78, 0.80, 0.82
SHOULDER_BREADTH = 1.17
"""Breadth of the shoulders over the distance of their joints."""
CROTCH_SHARE = 0.035
"""So much of the body's height the crotch lies below the joints of the hips."""
ARM_SHARE = 0.02
"""Half the thickness of an arm as a share of the body's height: where it hides the torso's edge."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Units: centimetres; chest, waist and hip are girths."""

    height_cm: float
    shoulder_cm: float
    chest_cm: float
    waist_cm: float
    hip_cm: float
    inseam_cm: float
    arm_cm: float
    torso_cm: float

    def shown(self) -> dict[str, float]:
        """As the answer shows them."""
        return {name: round(value, 1) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Silhouette:
    """The torso's outline between the arms."""

    person: Person
    scale: Scale

    def widths_px(self, levels: tuple[float, float]) -> list[float]:
        """The torso's width at every row between two levels."""
        top, bottom = (self._y(level) for level in levels)
        return [width for y in range(round(top), round(bottom) + 1) if (width := self._width_px(y)) is not None]

    def _y(self, level: float) -> float:
        shoulder_y, hip_y = self.person.middle(SHOULDERS)[1], self.person.middle(HIPS)[1]
        return shoulder_y + level * (hip_y - shoulder_y)

    def _width_px(self, y: int) -> float | None:
        (top_x, top_y), (hip_x, hip_y) = self.person.middle(SHOULDERS), self.person.middle(HIPS)
        centre = top_x + (hip_x - top_x) * (y - top_y) / max(1.0, hip_y - top_y)
        run = _run_at(self.person.rows.get(y, ()), centre)
        if run is None:
            return None
        left, right = float(run[0]), float(run[1])
        half = ARM_SHARE * self.scale.body_px
        for arm in self._arms_at(y):
            if is_beside(self.person, arm, y) and arm < centre:
                left = max(left, arm + half)
            elif is_beside(self.person, arm, y):
                right = min(right, arm - half)
        return right - left

    def _arms_at(self, y: float) -> Iterable[float]:
        """Where the middle of each arm crosses the row."""
        marks = self.person.landmarks
        for chain in zip(SHOULDERS, ELBOWS, WRISTS, strict=True):
            for upper, lower in pairwise(chain):
                a, b = marks[upper], marks[lower]
                if a.y <= y < b.y:
                    yield a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y)


def is_beside(person: Person, x: float, y: float) -> bool:
    """Whether a point lies outside the lines from the shoulders to the hips: an arm before the body hides no edge."""
    marks, sides = person.landmarks, []
    for shoulder, hip in zip(SHOULDERS, HIPS, strict=True):
        a, b = marks[shoulder], marks[hip]
        share = (y - a.y) / (b.y - a.y) if b.y > a.y else 0.0
        sides.append(a.x + (b.x - a.x) * min(1.0, max(0.0, share)))
    return not min(sides) <= x <= max(sides)


def measures_of(person: Person, scale: Scale, height_cm: float) -> Measures:
    """Measure a whole person."""
    torso = Silhouette(person, scale)
    marks, unit = person.landmarks, scale.px_per_cm
    joints_cm = math.dist(*((marks[index].x, marks[index].y) for index in SHOULDERS)) / unit
    hip_cm = (scale.floor_y - person.middle(HIPS)[1]) / unit
    arms = [_length(person, chain) for chain in zip(SHOULDERS, ELBOWS, WRISTS, strict=True)]
    # A body that hides its waist is as broad there as its joints: an outline that is not there measures nothing.
    chest = max(torso.widths_px(CHEST_LEVELS), default=joints_cm * unit) / unit
    waist = min(torso.widths_px(WAIST_LEVELS), default=chest * unit) / unit
    hips = max(torso.widths_px(HIP_LEVELS), default=chest * unit) / unit
    return Measures(
        height_cm=height_cm,
        shoulder_cm=joints_cm * SHOULDER_BREADTH,
        chest_cm=_girth(chest, CHEST_DEPTH),
        waist_cm=_girth(waist, WAIST_DEPTH),
        hip_cm=_girth(hips, HIP_DEPTH),
        inseam_cm=hip_cm - CROTCH_SHARE * height_cm,
        arm_cm=max(arms) / unit,
        torso_cm=(person.middle(HIPS)[1] - person.middle(SHOULDERS)[1]) / unit,
    )


def _run_at(runs: Iterable[Run], x: float) -> Run | None:
    return next((run for run in runs if run[0] <= x <= run[1]), None)


def _length(person: Person, chain: tuple[int, ...]) -> float:
    points = [(person.landmarks[index].x, person.landmarks[index].y) for index in chain]
    return sum(math.dist(a, b) for a, b in pairwise(points))


def _girth(width_cm: float, depth_share: float) -> float:
    """The circumference of an ellipse (Ramanujan's first approximation)."""
    a, b = width_cm / 2, width_cm * depth_share / 2
    return math.pi * (3 * (a + b) - math.sqrt((3 * a + b) * (a + 3 * b)))

"""Pixels per centimetre, from the height that the person gave. Knows where crown and floor are; no other measure."""

from __future__ import annotations

from dataclasses import dataclass

from handlers.sizing.person import EYES, HEELS, TOES, Person

EYE_SHARE = 0.936
"""Height of the eyes as a share of the body's (Drillis and Contini's proportions)."""
AGREES_WITHIN = 0.08
"""An outline that differs by more from what the joints say holds something else: a hat, a shadow, another person."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the body begins and ends. Units: pixels, y downwards; `px_per_cm` pixels per centimetre."""

    crown_y: float
    floor_y: float
    px_per_cm: float
    is_outlined: bool

    @property
    def body_px(self) -> float:
        """The body's height in the picture."""
        return self.floor_y - self.crown_y

    @classmethod
    def of(cls, person: Person, height_cm: float) -> Scale:
        """From head top to heel: by the outline where it agrees with the joints, else by the joints alone."""
        eyes_y = person.middle(EYES)[1]
        marks = person.landmarks
        floor_y = sum(max(marks[heel].y, marks[toe].y) for heel, toe in zip(HEELS, TOES, strict=True)) / 2
        crown_y = floor_y - (floor_y - eyes_y) / EYE_SHARE
        body_px = max(1.0, floor_y - crown_y)
        if person.rows:
            first, last = min(person.rows), max(person.rows)
            if abs((last - first) / body_px - 1) <= AGREES_WITHIN and first > 0:
                return cls(first, last, max(1.0, last - first) / height_cm, True)
        return cls(crown_y, floor_y, body_px / height_cm, False)

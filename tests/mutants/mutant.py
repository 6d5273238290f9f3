"""What a seeded defect is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect: `old` becomes `new` in `file`."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    refusal: str | None = None
    """What the migration says when it is itself the first to see the defect."""

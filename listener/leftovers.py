"""What cleaning asks of the world: what may go, and how it goes.

Knows nothing of Supabase; adapters/ implements it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """An object's place; the empty one comes before all."""

    bucket: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object that may go, and why. Units: size_bytes, where it is known."""

    place: Place
    reason: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a walk: those that may go, and the last place looked at; None at the end of all."""

    leftovers: tuple[Leftover, ...]
    next: Place | None


class Leftovers(Protocol):
    """What the database says of objects. Raises: StoreUnavailable (call again), StoreRejected (do not)."""

    async def take_turn(self, hold_s: int, *, at_once: bool = False) -> Place | None:
        """Be the only one who cleans for a while; where the walk has come to. None: it is not our turn."""

    async def leave_turn(self, place: Place, rest_s: int) -> None:
        """Let others have it, after a rest."""

    async def keep(self, bucket: str, hours: float) -> None:
        """Keep the results in a bucket for so long from now on."""

    async def expired(self, limit: int) -> tuple[Leftover, ...]:
        """Look for results that may go. Changes nothing."""

    async def page(self, place: Place, limit: int) -> Page:
        """Look at the objects after a place. Changes nothing."""

    async def forget(self, places: Sequence[Place]) -> tuple[Place, ...]:
        """Take them out of all rows; those that no row names any more, which may be removed."""


class ObjectRemover(Protocol):
    """The storage that objects are removed from. Raises: StoreUnavailable, StoreRejected."""

    async def remove(self, bucket: str, paths: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""

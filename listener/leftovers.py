"""What cleaning asks of the world: what may go, and how it goes.

Knows nothing of Supabase; adapters/ implements it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """An object's place; the empty one comes before all."""

    bucket: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object that may go, and why. `changed_at` is when it was written, where the database cannot see the store.

    Units: size_bytes, where it is known.
    """

    place: Place
    reason: str
    size_bytes: int | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """An object that a store has listed. Units: size_bytes is bytes."""

    path: str
    size_bytes: int
    changed_at: datetime


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

    def start_of(self, bucket: str) -> Place:
        """The place before a bucket's objects."""

    async def forget(self, leftovers: Sequence[Leftover]) -> tuple[Place, ...]:
        """Take them out of all rows; those that no row names any more, which may be removed."""


class Listing(Protocol):
    """A store that the database cannot see. Raises: StoreUnavailable, StoreRejected."""

    async def listed(self, bucket: str, after: str, limit: int) -> tuple[Listed, ...]:
        """List the objects of a bucket that come after a path, in the order of their paths."""


class ObjectRemover(Protocol):
    """The storage that objects are removed from. Raises: StoreUnavailable, StoreRejected."""

    async def remove(self, bucket: str, paths: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""

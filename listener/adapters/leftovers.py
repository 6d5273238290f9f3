"""What the database says may be removed, through PostgREST. Knows the RPCs' shapes; does not know when to call them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from supabase import AsyncClient

from listener.adapters.failures import translated
from listener.leftovers import Leftover, Listed, Page, Place


class PlaceAnswer(BaseModel):
    """A place in the storage."""

    bucket: str
    path: str

    def place(self) -> Place:
        """As the engine knows it."""
        return Place(self.bucket, self.path)


class LeftoverAnswer(PlaceAnswer):
    """An object that may go."""

    reason: str
    size_bytes: int | None = None

    def leftover(self) -> Leftover:
        """As the engine knows it."""
        return Leftover(self.place(), self.reason, self.size_bytes)


class PageAnswer(BaseModel):
    """What orphaned_objects answers."""

    objects: list[LeftoverAnswer]
    next: PlaceAnswer | None = None


TURN = TypeAdapter(PlaceAnswer | None)
PLACES = TypeAdapter(list[PlaceAnswer])
LEFTOVERS = TypeAdapter(list[LeftoverAnswer])


def _item(leftover: Leftover) -> dict[str, Any]:
    item = {"bucket": leftover.place.bucket, "path": leftover.place.path}
    return item if leftover.changed_at is None else {**item, "changed_at": leftover.changed_at.isoformat()}


class SupabaseLeftovers:
    """The Leftovers of a project. Raises: StoreUnavailable (call again), StoreRejected (do not)."""

    def __init__(self, client: AsyncClient, holder: UUID) -> None:
        self._client = client
        self._holder = str(holder)

    async def take_turn(self, hold_s: int, *, at_once: bool = False) -> Place | None:
        """Be the only one who cleans for a while."""
        with translated("take_cleaning"):
            answer = await self._call("take_cleaning", p_holder=self._holder, p_hold_s=hold_s, p_at_once=at_once)
            turn = TURN.validate_python(answer)
        return turn.place() if turn else None

    async def leave_turn(self, place: Place, rest_s: int) -> None:
        """Let others have it, after a rest."""
        with translated("leave_cleaning"):
            where = {"p_bucket": place.bucket, "p_path": place.path}
            await self._call("leave_cleaning", p_holder=self._holder, **where, p_rest_s=rest_s)

    async def keep(self, bucket: str, hours: float) -> None:
        """Keep the results in a bucket for so long from now on."""
        with translated("set_retention"):
            await self._call("set_retention", p_bucket=bucket, p_hours=hours)

    async def expired(self, limit: int) -> tuple[Leftover, ...]:
        """Look for results that may go."""
        with translated("expired_artifacts"):
            answer = await self._call("expired_artifacts", p_limit=limit)
            return tuple(one.leftover() for one in LEFTOVERS.validate_python(answer))

    async def page(self, place: Place, limit: int) -> Page:
        """Look at the objects after a place."""
        with translated("orphaned_objects"):
            answer = await self._call("orphaned_objects", p_bucket=place.bucket, p_path=place.path, p_limit=limit)
            page = PageAnswer.model_validate(answer)
        return Page(tuple(one.leftover() for one in page.objects), page.next.place() if page.next else None)

    def start_of(self, bucket: str) -> Place:
        """The place before a bucket's objects."""
        return Place(bucket)

    async def orphaned_elsewhere(self, bucket: str, listed: Sequence[Listed]) -> tuple[Leftover, ...]:
        """Find among objects of a store of their own those that may go. Changes nothing."""
        changes = {one.path: one.changed_at for one in listed}
        items = [
            {"path": one.path, "size_bytes": one.size_bytes, "changed_at": one.changed_at.isoformat(), "bucket": bucket}
            for one in listed
        ]
        with translated("orphaned_elsewhere"):
            answer = LEFTOVERS.validate_python(await self._call("orphaned_elsewhere", p_objects=items))
        found = (one.leftover() for one in answer)
        return tuple(replace(one, changed_at=changes[one.place.path]) for one in found)

    async def forget(self, leftovers: Sequence[Leftover]) -> tuple[Place, ...]:
        """Take them out of all rows; those that no row names any more."""
        with translated("forget_artifacts"):
            items = [_item(one) for one in leftovers]
            answer = await self._call("forget_artifacts", p_objects=items)
            return tuple(one.place() for one in PLACES.validate_python(answer))

    async def _call(self, function: str, **arguments: Any) -> Any:
        return (await self._client.rpc(function, arguments).execute()).data

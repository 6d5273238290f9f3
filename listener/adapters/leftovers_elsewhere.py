"""The walk that goes on where Supabase Storage ends: through the buckets that lie in a store of their own.

Knows how its places are written down beside Supabase's; does not know what may go.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from supabase import AsyncClient

from listener.adapters.leftovers import SupabaseLeftovers
from listener.errors import StoreError
from listener.leftovers import Listing, Page, Place
from listener.telemetry import log

ELSEWHERE = "~elsewhere/"
"""What stands before a bucket's name in the place of such a walk. No bucket of Supabase's can be named so."""


class WiderLeftovers(SupabaseLeftovers):
    """The Leftovers of a project and of a store of its own, one bucket after the other."""

    def __init__(self, client: AsyncClient, holder: UUID, store: Listing, buckets: Sequence[str]) -> None:
        super().__init__(client, holder)
        self._store = store
        self._buckets = tuple(buckets)
        self._log = log.get("cleaning")

    def start_of(self, bucket: str) -> Place:
        """The place before a bucket's objects."""
        return Place(ELSEWHERE + bucket) if bucket in self._buckets else Place(bucket)

    async def page(self, place: Place, limit: int) -> Page:
        """Look at the objects after a place; a store that does not answer now is passed over."""
        if not place.bucket.startswith(ELSEWHERE):
            page = await super().page(place, limit)
            return page if page.next is not None else Page(page.leftovers, self._start(0))
        bucket = place.bucket.removeprefix(ELSEWHERE)
        if bucket not in self._buckets:  # the settings of a worker before us
            return Page((), self._start(0))
        after = self._start(self._buckets.index(bucket) + 1)
        try:
            listed = await self._store.listed(bucket, place.path, limit)
        except StoreError as error:
            self._log.warning("bucket_not_listed", bucket=bucket, error=str(error))
            return Page((), after)
        if not listed:  # a page that is not full is no end: stores may list less than was asked for
            return Page((), after)
        return Page(await self.orphaned_elsewhere(bucket, listed), Place(place.bucket, listed[-1].path))

    def _start(self, number: int) -> Place | None:
        return Place(ELSEWHERE + self._buckets[number]) if number < len(self._buckets) else None

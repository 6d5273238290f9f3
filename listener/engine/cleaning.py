"""Removes what nobody needs any more: expired results, and objects that no row names.

Knows the order, rows first: whatever ends it in between, an object may be left that the walk finds again, never a row
without its object. Does not know what may go; the database does.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from listener.contract import Log
from listener.engine.sweep import JITTER
from listener.errors import StoreError, StoreRejected
from listener.leftovers import Leftover, Leftovers, ObjectRemover, Place

LOOK_S = 60.0
"""Between two looks at whether it is our turn."""
HOLD_S = 300
REST_S = 60
IDLE_S = 600
"""The rest after all was looked at."""
EXPIRED_MAX = 100
BATCHES_MAX = 5
PAGE = 1000
REMOVED_AT_ONCE = 100

Tell = Callable[[Sequence[Leftover]], None]


class Cleaning:
    """One place that cleans. With `removes` false it changes nothing; `tell` hears what went, or would have gone.

    `retention` is said once, before the first look: a bucket's name -> hours. `refused` counts what the storage would
    not remove; `saw_all` is false when there may be more expired results than one look without removing shows.
    """

    def __init__(
        self,
        leftovers: Leftovers,
        objects: ObjectRemover,
        tell: Tell,
        *,
        removes: bool,
        retention: Mapping[str, float] | None = None,
    ) -> None:
        self._leftovers = leftovers
        self._objects = objects
        self._tell = tell
        self._removes = removes
        self._unsaid = dict(retention or {}) if removes else {}
        self.refused = 0
        self.saw_all = True

    async def run(self, log: Log) -> None:
        """Clean a bounded piece whenever it is our turn; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - jitter
            try:
                async with asyncio.timeout(HOLD_S):
                    await self.turn()
            except (StoreError, TimeoutError) as error:
                log.warning("cleaning_failed", error=str(error) or "it took longer than its turn")

    async def turn(self) -> None:
        """Clean one piece, if nobody else is at it. Raises: StoreError."""
        if (place := await self._leftovers.take_turn(HOLD_S)) is None:
            return
        has_more = await self.expired()
        next_place = await self.page(place)
        rest_s = REST_S if has_more or next_place else IDLE_S
        await self._leftovers.leave_turn(next_place or Place(), rest_s)

    async def everything(self) -> bool:
        """Clean until nothing is left; false, and nothing done, while another one is at it. Raises: StoreError."""
        if self._removes and await self._leftovers.take_turn(HOLD_S, at_once=True) is None:
            return False
        while await self.expired():
            await self._keep_turn()
        place: Place | None = Place()
        while place is not None:
            place = await self.page(place)
            await self._keep_turn()
        if self._removes:
            await self._leftovers.leave_turn(Place(), IDLE_S)
        return True

    async def make_room(self, bucket: str) -> bool:
        """Remove all that may go of what is expired, and of this bucket's orphans; false while another one is at it.

        Raises: StoreError.
        """
        if (place := await self._leftovers.take_turn(HOLD_S, at_once=True)) is None:
            return False
        while await self.expired():
            pass
        walk: Place | None = self._leftovers.start_of(bucket)
        while walk is not None and walk.bucket == self._leftovers.start_of(bucket).bucket:
            walk = await self.page(walk)
        await self._leftovers.leave_turn(place, REST_S)
        return True

    async def expired(self) -> bool:
        """Remove some of the results whose time is over; whether there may be more. Raises: StoreError."""
        for bucket, hours in tuple(self._unsaid.items()):
            await self._leftovers.keep(bucket, hours)
            del self._unsaid[bucket]
        for _ in range(BATCHES_MAX):
            found = await self._leftovers.expired(EXPIRED_MAX if self._removes else PAGE)
            removed = await self._clear(found)
            self.saw_all &= self._removes or len(found) < PAGE
            if not removed or not self._removes:
                return False  # what is found and not removed is held by somebody: another time
        return True

    async def page(self, place: Place) -> Place | None:
        """Remove what is orphaned among the next objects; where the walk has come to. Raises: StoreError."""
        page = await self._leftovers.page(place, PAGE)
        await self._clear(page.leftovers)
        return page.next

    async def _keep_turn(self) -> None:
        if self._removes:
            await self._leftovers.take_turn(HOLD_S)

    async def _clear(self, found: Sequence[Leftover]) -> int:
        if not found:
            return 0
        if not self._removes:
            self._tell(found)
            return len(found)
        known = {leftover.place: leftover for leftover in found}
        freed = await self._leftovers.forget(list(known.values()))
        buckets: defaultdict[str, list[str]] = defaultdict(list)
        for place in freed:
            buckets[place.bucket].append(place.path)
        for bucket, paths in buckets.items():
            for start in range(0, len(paths), REMOVED_AT_ONCE):
                gone = await self._removed(bucket, paths[start : start + REMOVED_AT_ONCE])
                if gone:
                    self._tell([known.get(place, Leftover(place, "belongs_to_what_went")) for place in gone])
        return len(freed)

    async def _removed(self, bucket: str, paths: Sequence[str]) -> list[Place]:
        """Go on after a refusal, which the storage's adapter has logged: the walk would never come past it."""
        try:
            await self._objects.remove(bucket, paths)
        except StoreRejected:
            self.refused += len(paths)
            return []
        return [Place(bucket, path) for path in paths]


def telling(log: Log, *, removes: bool) -> Tell:
    """Write each piece to the log as counts: the paths are people's ids."""
    event = "cleaned" if removes else "cleaning_would_remove"

    def tell(leftovers: Sequence[Leftover]) -> None:
        size_bytes = sum(leftover.size_bytes or 0 for leftover in leftovers)
        reasons = dict(Counter(leftover.reason for leftover in leftovers))
        log.info(event, objects=len(leftovers), size_bytes=size_bytes, reasons=reasons)

    return tell

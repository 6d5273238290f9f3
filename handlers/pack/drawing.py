"""Draws the images of one pack: in batches, again where a face is not alike or a batch failed.

Knows when an image is done and when time is up; does not know how faces are measured or where images are stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from handlers.pack.gallery import BELOW, Gallery
from handlers.pack.likeness import NOT_MEASURED, Likeness, Measure
from handlers.pack.options import SPARE_S, PackOptions
from handlers.pack.plan import PlannedImage, another_seed
from listener.contract import Context, GeneratedImage, Generation, GenerationRequest
from listener.errors import AttemptFailure, ContentRejected, NothingProduced, TimeLimit

FAILURES_MAX = 2
"""So often an image may fail; after a batch that failed, images are drawn alone."""
PAUSE_MAX_S = 20.0


@dataclass(slots=True)
class Wanted:
    """An image that is not delivered yet, and the likest one drawn so far."""

    planned: PlannedImage
    tried: int = 0
    failures: int = 0
    best: GeneratedImage | None = None
    likeness: Likeness = NOT_MEASURED

    @property
    def seed(self) -> int:
        """The seed of the next try: at first the character's own."""
        return another_seed(self.planned.seed, self.planned.position, self.tried)

    def offer(self, image: GeneratedImage, likeness: Likeness) -> None:
        """Keep it, unless the last one was liker."""
        self.tried += 1
        if self.best is None or likeness.state != "below" or (likeness.value or 0) > (self.likeness.value or 0):
            self.best, self.likeness = image, likeness


@dataclass(slots=True)
class Drawing:
    """One attempt at a pack; `request` is what all of its images have in common."""

    request: GenerationRequest
    options: PackOptions
    context: Context
    gallery: Gallery
    measure: Measure
    _image_s: float = 0.0
    _alone: bool = False

    async def first(self, planned: PlannedImage, references: tuple[bytes, ...]) -> GeneratedImage:
        """Draw and store the image that opens the pack. Raises: whatever keeps it from being drawn or stored."""
        wanted = Wanted(planned)
        [image] = await self._generate([wanted], references)
        wanted.offer(image, await self.measure.of_first(image))
        while not self._is_done(wanted):
            try:
                [image] = await self._generate([wanted], references)
            except AttemptFailure as failure:  # what was drawn before is better than nothing
                self.context.log.warning("images_failed", positions=[0], code=failure.code, error=str(failure))
                break
            wanted.offer(image, await self.measure.of_first(image))
        await self._deliver(wanted)
        return wanted.best or image

    async def others(self, planned: Sequence[PlannedImage], references: tuple[bytes, ...]) -> None:
        """Draw and store the rest; each that cannot be made is given up alone."""
        waiting = [Wanted(image) for image in planned]
        while waiting:
            size = 1 if self._alone else self.options.batch
            batch, rest = waiting[:size], waiting[size:]
            if self.context.remaining_s() < SPARE_S + self._image_s * len(batch):
                for wanted in waiting:
                    await self._end(wanted, TimeLimit.code)
                return
            waiting = rest + await self._round(batch, references)

    async def _round(self, batch: list[Wanted], references: tuple[bytes, ...]) -> list[Wanted]:
        """Draw a batch once, and hand back those that have to be drawn again."""
        try:
            images = await self._generate(batch, references)
        except AttemptFailure as failure:
            return await self._failed(batch, failure)
        again = []
        for wanted, image in zip(batch, images, strict=True):
            wanted.offer(image, await self.measure.of(image))
            if self._is_done(wanted):
                await self._deliver(wanted)
            else:
                again.append(wanted)
        return again

    async def _generate(self, batch: Sequence[Wanted], references: tuple[bytes, ...]) -> tuple[GeneratedImage, ...]:
        """One image for each. Raises: TimeLimit while there is still time to settle; what generating raises."""
        request = replace(
            self.request,
            prompts=tuple(wanted.planned.prompt for wanted in batch),
            seeds=tuple(wanted.seed for wanted in batch),
            references=references,
        )
        before_s = self.context.remaining_s()
        try:
            generation = await self._in_time(request)
        finally:
            self._image_s = max(self._image_s, (before_s - self.context.remaining_s()) / len(batch))
        if len(generation.images) != len(batch):
            raise NothingProduced(details={"model": generation.model})
        self.gallery.made(generation)
        return generation.images

    async def _in_time(self, request: GenerationRequest) -> Generation:
        """Generate until what is left of the limit is needed to settle; it stands still in line for a device."""
        try:
            async with asyncio.TaskGroup() as group:
                generating = group.create_task(self.context.generate(request, self.gallery.settled, self.gallery.count))
                while not generating.done():
                    left_s = self.context.remaining_s() - SPARE_S
                    if left_s <= 0:
                        raise TimeLimit
                    await asyncio.wait({generating}, timeout=left_s)
        except ExceptionGroup as ended:
            raise ended.exceptions[0] from None
        return generating.result()

    async def _failed(self, batch: Sequence[Wanted], failure: AttemptFailure) -> list[Wanted]:
        """Try the images of a batch again one by one, each until it has failed too often."""
        positions = [wanted.planned.position for wanted in batch]
        self.context.log.warning("images_failed", positions=positions, code=failure.code, error=str(failure))
        self._alone = True
        again = []
        for wanted in batch:
            wanted.failures += 1
            wanted.tried += isinstance(failure, ContentRejected)  # the same seed would be refused again
            if wanted.failures < FAILURES_MAX:
                again.append(wanted)
            else:
                await self._end(wanted, failure.code)
        if again and failure.retry_after_s:
            await asyncio.sleep(min(failure.retry_after_s, PAUSE_MAX_S))
        return again

    def _is_done(self, wanted: Wanted) -> bool:
        return wanted.likeness.state != "below" or wanted.tried > self.options.tries

    async def _end(self, wanted: Wanted, reason: str) -> None:
        """Deliver the likest one there is, or give the image up."""
        if wanted.best is None:
            await self.gallery.miss(wanted.planned, reason)
        else:
            await self._deliver(wanted)

    async def _deliver(self, wanted: Wanted) -> None:
        """Store the likest one. Raises: what storing it raises, while nothing of the pack is stored."""
        if wanted.best is None:
            raise AssertionError("unreachable: only what was drawn is delivered")
        if wanted.likeness.state == "below" and self.options.below == "refund":
            await self.gallery.miss(wanted.planned, BELOW)
            return
        try:
            await self.gallery.hang(wanted.planned, wanted.best, wanted.likeness, wanted.tried)
        except AttemptFailure as failure:
            if self.gallery.is_empty:
                raise
            await self.gallery.miss(wanted.planned, failure.code)

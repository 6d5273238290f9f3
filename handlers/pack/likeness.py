"""Measures how alike the faces of a pack are. Knows the reference's face and the threshold; stores nothing."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from handlers.faces.finder import FaceFinder
from handlers.faces.likeness import Face, similarity
from handlers.pack.options import SPARE_S
from listener.contract import Context, GeneratedImage
from listener.errors import AttemptFailure

FAILURES_MAX = 2
"""So often looking for a face may fail, or take too long; then the pack goes on without."""
NOT_ALL = "not every face was measured: the face process failed"
State = Literal["reference", "measured", "below", "not_measured"]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike an image's face and the reference's are; `not_measured` where one of them shows none."""

    state: State
    value: float | None = None


NOT_MEASURED = Likeness("not_measured")


class Measure:
    """Measures the images of one pack; the reference is a picture that was given, or the pack's first image."""

    def __init__(self, faces: FaceFinder | None, similarity_min: float, context: Context, notes: list[str]) -> None:
        self._faces = faces
        self._similarity_min = similarity_min
        self._context = context
        self._notes = notes
        self._reference: Face | None = None
        self._given = False
        self._failures = 0

    async def take_reference(self, png: bytes) -> None:
        """Measure everything against the face in this picture; nothing is measured when it shows none."""
        rgb, width, height = await asyncio.to_thread(_pixels, png)
        self._reference = await self._find(rgb, width, height)
        self._given = True

    async def of_first(self, image: GeneratedImage) -> Likeness:
        """The pack's first image: the reference itself, unless one was given."""
        if self._given:
            return await self.of(image)
        self._reference = await self._find(image.rgb, image.width, image.height)
        return Likeness("reference")

    async def of(self, image: GeneratedImage) -> Likeness:
        """Any other image."""
        if self._reference is None:
            return NOT_MEASURED
        face = await self._find(image.rgb, image.width, image.height)
        if face is None:
            return NOT_MEASURED
        value = similarity(self._reference, face)
        return Likeness("measured" if value >= self._similarity_min else "below", value)

    async def _find(self, rgb: bytes, width: int, height: int) -> Face | None:
        """A face, if there is one and it can be looked for: no pack is lost because it could not be measured."""
        if self._faces is None or self._failures >= FAILURES_MAX:
            return None
        try:
            async with asyncio.timeout(self._context.remaining_s() - SPARE_S):
                return await self._faces.find(rgb, width, height)
        except (AttemptFailure, TimeoutError) as error:
            self._failures += 1
            self._context.log.warning("face_not_measured", failures=self._failures, error=str(error))
        if NOT_ALL not in self._notes:
            self._notes.append(NOT_ALL)
        return None


def _pixels(png: bytes) -> tuple[bytes, int, int]:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        return image.convert("RGB").tobytes(), image.width, image.height

"""What a pipeline drew, as pixels that may leave the device. Knows torch; does not know who asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from handlers.runtime.failures import RefusedError
from handlers.runtime.messages import Done, Failed


@dataclass(frozen=True, slots=True)
class Picture:
    """One image that still lies in a tensor. Shapes: pixels (H, W, 3) uint8 on the host."""

    pixels: Any

    def to_bytes(self) -> bytes:
        """Copy the pixels out; not to be called on the device's thread."""
        return bytes(self.pixels.numpy().tobytes())


class Drawn(Protocol):
    """What an order came to; its answer is made off the device's thread."""

    @property
    def facts(self) -> dict[str, Any]: ...
    def to_message(self, run: int, /) -> Done | Failed: ...


@dataclass(frozen=True, slots=True)
class Made:
    """What an order came to before its pixels are copied out."""

    facts: dict[str, Any]
    pictures: tuple[Picture, ...]

    def to_message(self, run: int) -> Done:
        """Copy the pixels and make the answer."""
        return Done(run=run, facts=self.facts, blobs=tuple(picture.to_bytes() for picture in self.pictures))


def to_pictures(drawn: Any) -> list[Picture]:
    """Bring a batch to the host as bytes. Raises: RefusedError for values that are not numbers.

    Shapes: drawn (N, 3, H, W) float, 0..1.
    """
    return [Picture(image) for image in to_pixels(drawn)]


def to_pixels(drawn: Any) -> Any:
    """Bring what was drawn to the host as bytes. Raises: RefusedError for values that are not numbers.

    Shapes: drawn (N, 3, H, W) float, 0..1; result (N, H, W, 3) uint8.
    """
    if not bool(torch.isfinite(drawn).all()):
        raise RefusedError("generation_failed", "the pipeline drew values that are not numbers")
    return (drawn.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()

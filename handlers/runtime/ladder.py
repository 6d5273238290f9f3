"""What is done, rung by rung, when memory runs out for one image alone; everything is put back afterwards.

Knows diffusers' switches; does not know what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from handlers.runtime.loaded import Loaded

SMALLER_SIDE_MIN_PX = 256
PIXELS_OF_480P = 854 * 480


class Ladder:
    """The rungs below a batch of one: the same again, the autoencoder in tiles, offload to the host, a smaller image.

    `notes` tells the owner what changed the picture, `taken` the log what was done.
    """

    def __init__(self, loaded: Loaded, width: int, height: int) -> None:
        self._loaded = loaded
        self.width, self.height = width, height
        self.notes: list[str] = []
        self.taken: list[str] = []
        self._undo: list[Callable[[], object]] = []
        self._rungs: Iterator[Callable[[], bool]] = iter((self._again, self._tiles, self._offload, self._smaller))

    @classmethod
    def for_clip(cls, loaded: Loaded, width: int, height: int) -> Ladder:
        """The one rung of a clip, which took minutes already: once more at 480p, decoded in tiles."""
        ladder = cls(loaded, width, height)
        ladder._rungs = iter((ladder._at_480p,))
        return ladder

    def climb(self) -> bool:
        """Take the next rung that there is; False when there is none left."""
        return any(rung() for rung in self._rungs)

    def restore(self) -> None:
        """Put the pipeline back as it was."""
        while self._undo:
            self._undo.pop()()

    def _again(self) -> bool:
        # What the failed try held was freed; fragments of earlier runs often are what was lacking.
        self.taken.append("again")
        return True

    def _tiles(self) -> bool:
        vae = getattr(self._loaded.pipe, "vae", None)
        if vae is None or not hasattr(vae, "enable_tiling") or getattr(vae, "use_tiling", False):
            return False
        vae.enable_tiling()
        self._undo.append(vae.disable_tiling)
        self.taken.append("tiling")
        self.notes.append("decoded in tiles for lack of memory")
        return True

    def _offload(self) -> bool:
        pipe, device = self._loaded.pipe, self._loaded.device
        if self._loaded.offloaded or not device.startswith("cuda") or getattr(pipe, "hf_device_map", None):
            return False
        if pipe.model_cpu_offload_seq is None:  # its class says of no part when it is used
            return False

        def bring_back() -> None:
            pipe.remove_all_hooks()
            pipe.to(device)

        self._undo.append(bring_back)
        self.taken.append("offload")
        pipe.enable_model_cpu_offload(device=device)
        return True

    def _smaller(self) -> bool:
        multiple = self._loaded.side_multiple_px
        width, height = (side * 2 // 3 // multiple * multiple for side in (self.width, self.height))
        if min(width, height) < SMALLER_SIDE_MIN_PX:
            return False
        self._shrink(width, height)
        return True

    def _at_480p(self) -> bool:
        tiled, scale = self._tiles(), math.sqrt(PIXELS_OF_480P / (self.width * self.height))
        if scale >= 1:
            return tiled
        self._shrink(*(round(side * scale / 2) * 2 for side in (self.width, self.height)))
        return True

    def _shrink(self, width: int, height: int) -> None:
        self.notes.append(f"drawn at {width} x {height} instead of {self.width} x {self.height} for lack of memory")
        self.width, self.height = width, height
        self.taken.append("smaller")

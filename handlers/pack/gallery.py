"""What a pack has come to: the images that are stored, those that are missing, what goes back. Draws nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from handlers.inputs.images import encode_jpeg, encode_thumbnail
from handlers.pack.likeness import Likeness
from handlers.pack.params import PackParams
from handlers.pack.plan import PlannedImage
from listener.contract import Artifact, Context, GeneratedImage, Generation, SavedArtifact

BELOW = "below_similarity"


@dataclass(slots=True)
class Gallery:
    """Stores each image as soon as it is drawn, and keeps the result so that whenever the pack ends it is true."""

    params: PackParams
    context: Context
    seed: int
    notes: list[str] = field(default_factory=list)
    cost_usd: float | None = None
    _images: dict[int, dict[str, Any]] = field(default_factory=dict)
    _missing: dict[int, dict[str, Any]] = field(default_factory=dict)
    _made_by: Generation | None = None
    _cover: SavedArtifact | None = None
    _began_s: float = field(default_factory=time.monotonic)
    _first_after_s: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is stored."""
        return not self._images

    @property
    def count(self) -> int:
        """How many images were ordered."""
        return self.params.image_count

    @property
    def settled(self) -> int:
        """How many images are stored or given up."""
        return len(self._images) + len(self._missing)

    @property
    def missing(self) -> list[dict[str, Any]]:
        """The images that were given up, and why."""
        return [image for _, image in sorted(self._missing.items())]

    def made(self, generation: Generation) -> None:
        """Remember how images were made and what they cost, whether they are delivered or not."""
        self._made_by = generation
        self.notes += [note for note in generation.notes if note not in self.notes]
        if generation.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + generation.cost_usd

    async def hang(self, planned: PlannedImage, image: GeneratedImage, likeness: Likeness, tried: int) -> None:
        """Store an image with its thumbnail, and show it. Raises: StorageDown, StorageRefused."""
        picture = image.rgb, image.width, image.height
        jpeg, thumbnail = await asyncio.gather(encode_jpeg(*picture), encode_thumbnail(*picture))
        facts = {
            "position": planned.position,
            "pose": planned.pose,
            "seed": image.seed,
            "similarity": likeness.value,
            "similarity_state": likeness.state,
        }
        name = f"{planned.position + 1:02d}.jpg"
        saved = await self.context.save(
            Artifact(name, jpeg, "image/jpeg", image.width, image.height, thumbnail=thumbnail, facts=facts)
        )
        if self._cover is None:
            self._cover, self._first_after_s = saved, time.monotonic() - self._began_s
        self._images[planned.position] = {**facts, "tries": tried, "path": saved.path}
        await self._tell(f"{len(self._images)} of {self.count} images")

    async def miss(self, planned: PlannedImage, reason: str) -> None:
        """Give an image up: its credit goes back."""
        self._missing[planned.position] = {"position": planned.position, "pose": planned.pose, "reason": reason}
        await self._tell(f"image {planned.position + 1} could not be made")

    async def _tell(self, note: str) -> None:
        self.context.finish(self._result(), refund_credits=self.count - len(self._images))
        await self.context.progress(self.settled, self.count, note)

    def _result(self) -> Mapping[str, Any]:
        cover, made_by, character = self._cover, self._made_by, self.params.character
        return {
            "character_id": str(character.id),
            "image_count": self.count,
            "completed_count": len(self._images),
            "images": [image for _, image in sorted(self._images.items())],
            "missing": self.missing,
            "image_url": cover.url if cover else None,
            "image_path": cover.path if cover else None,
            "expires_at": cover.expires_at.isoformat() if cover else None,
            "model": made_by.model if made_by else None,
            "pipeline": made_by.pipeline_class if made_by else None,
            "device": made_by.device if made_by else None,
            "num_inference_steps": made_by.steps if made_by else None,
            "guidance_scale": made_by.guidance_scale if made_by else None,
            "seed": self.seed,
            "style_strength": character.style.style_strength,
            "notes": self.notes,
            "cost_usd": self.cost_usd,
            "first_image_s": round(self._first_after_s, 3) if self._first_after_s is not None else None,
            "processing_time_s": round(time.monotonic() - self._began_s, 3),
        }

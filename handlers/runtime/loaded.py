"""A pipeline on its device, as those see it who call it. Knows what the classes have in common; does not load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SPEAKING = frozenset({"conditions", "audio_latents", "freeze_audio", "generate_slots", "sigmas"})
"""What a pipeline must take to make a clip of a picture that says a given sound."""


class LoadError(Exception):
    """The pipeline cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline on its device, and how it is to be called. Units: clip_fps frames a second."""

    pipe: Any
    model: str
    device: str
    dtype: str
    steps: int
    guidance_scale: float | None
    parameters: frozenset[str]
    offloaded: bool = False
    clip_fps: float = 24.0
    clip_frames_max: int = 241

    @property
    def name(self) -> str:
        return type(self.pipe).__name__

    @property
    def speaks(self) -> bool:
        """Whether it makes clips of a picture and a sound, and no images."""
        return self.parameters >= SPEAKING

    @property
    def side_multiple_px(self) -> int:
        if self.speaks:
            return int(self.pipe.vae_spatial_compression_ratio)
        # Latents are packed in patches of two by two.
        return int(getattr(self.pipe, "vae_scale_factor", 8)) * 2

    @property
    def ignores_guidance(self) -> bool:
        """Whether the weights were distilled so that guidance changes nothing."""
        if "guidance_scale" not in self.parameters or getattr(self.pipe.config, "is_distilled", False):
            return True
        config = getattr(getattr(self.pipe, "transformer", None), "config", None)
        return self.name.startswith("FluxPipeline") and getattr(config, "guidance_embeds", True) is False

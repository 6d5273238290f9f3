"""Where InfiniteTalk's model files lie. Knows folders; does not know how they are downloaded."""

from __future__ import annotations

from pathlib import Path

from handlers.infinitetalk.arguments import Models


def models_in(root: Path) -> Models:
    """The folders and the file of weights under the folder of downloaded weights."""
    return Models(
        checkpoint=root / "Wan2.1-I2V-14B-480P",
        sound=root / "chinese-wav2vec2-base",
        weights=root / "InfiniteTalk" / "single" / "infinitetalk.safetensors",
    )

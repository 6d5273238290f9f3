"""What some pipeline classes need beyond diffusers, and how they want to be called. Knows classes by their names."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from PIL import Image

SPEAKERS = ("LTX2DFRPipeline",)
"""These read and write sound and video."""
EDITORS = "QwenImageEdit"
"""These draw nothing without a picture to start from."""
TRUE_GUIDANCE = "QwenImage"
"""These are guided only by a second pass with a negative prompt, which may be blank."""
BLANK = " "
GREY = (127, 127, 127)


def lacking(pipeline_class: str | None, folder: Path) -> str:
    """Name what this machine lacks for a pipeline, before anything is downloaded; nothing is an empty text."""
    name = pipeline_class or _named_by(folder / "model_index.json")
    if name.startswith(EDITORS) and importlib.util.find_spec("torchvision") is None:
        return (
            f"{name} needs torchvision, which is not installed: install the build that fits torch, from the same index"
        )
    if name in SPEAKERS and importlib.util.find_spec("av") is None:
        return f"{name} needs PyAV, which is not installed: install the extra `media`"
    return ""


def first_picture(name: str, width: int, height: int) -> dict[str, Any]:
    """Give an editor something to start from, for the pictures that no request asks for."""
    return {"image": [Image.new("RGB", (width, height), GREY)]} if name.startswith(EDITORS) else {}


def true_guidance(name: str, guidance_scale: float | None, negative_prompt: str | None) -> dict[str, Any]:
    """Say how a pipeline is guided that runs twice for it; nothing for the others."""
    if not name.startswith(TRUE_GUIDANCE):
        return {}
    scale = {} if guidance_scale is None else {"true_cfg_scale": guidance_scale}
    return {"negative_prompt": negative_prompt or BLANK, **scale}


def _named_by(index: Path) -> str:
    try:
        return str(json.loads(index.read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""

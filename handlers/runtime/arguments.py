"""Turns an order into what a pipeline is called with, and refuses what it would get wrong. Knows no device."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from handlers.runtime.failures import RefusedError
from handlers.runtime.loaded import Loaded
from handlers.runtime.messages import Generate
from handlers.runtime.needs import true_guidance

REFERENCE_SIDE_MIN_PX = 64
REFERENCE_PIXELS_MAX = 50_000_000


def arguments_of(loaded: Loaded, order: Generate) -> tuple[dict[str, Any], list[str]]:
    """Compose the arguments of a call, and a note for each value that is ignored. Raises: RefusedError."""
    _check_use(loaded, order)
    _check_size(loaded, order)
    arguments: dict[str, Any] = {
        "prompt": order.prompt,
        "width": order.width,
        "height": order.height,
        "num_inference_steps": order.steps or loaded.steps,
    }
    notes: list[str] = []
    guidance = loaded.guidance_scale if order.guidance_scale is None else order.guidance_scale
    twice = true_guidance(loaded.name, guidance, order.negative_prompt)
    if twice:
        arguments |= twice
    elif not loaded.ignores_guidance:
        arguments["guidance_scale"] = guidance
    elif order.guidance_scale is not None:
        notes.append(f"guidance_scale {order.guidance_scale:g} was ignored: the model is distilled")
    if order.negative_prompt and not twice:
        notes.extend(_negative(loaded, order.negative_prompt, arguments))
    if order.blobs:
        if "image" not in loaded.parameters:
            remedy = f"configure another model for {order.kind}"
            raise RefusedError("model_unavailable", f"{loaded.name} takes no reference images; {remedy}")
        arguments["image"] = decode_references(order.blobs)
    return arguments, notes


def ignored(loaded: Loaded, order: Generate) -> list[str]:
    """Note what an order asks for and a clip has no use for."""
    asked = {"guidance_scale": order.guidance_scale, "negative_prompt": order.negative_prompt}
    return [f"{name} was ignored: {loaded.name} has no use for one" for name, value in asked.items() if value]


def decode_references(blobs: tuple[bytes, ...]) -> list[Image.Image]:
    """Decode reference images. Raises: RefusedError."""
    decoded = []
    for number, blob in enumerate(blobs, 1):
        try:
            with Image.open(io.BytesIO(blob), formats=("PNG", "JPEG", "WEBP")) as image:
                if image.width * image.height > REFERENCE_PIXELS_MAX:
                    raise RefusedError("input_unavailable", f"reference image {number} has too many pixels")
                decoded.append(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise RefusedError("input_unavailable", f"reference image {number} cannot be decoded") from error
        if min(decoded[-1].size) < REFERENCE_SIDE_MIN_PX:
            raise RefusedError(
                "input_unavailable", f"reference image {number} is smaller than {REFERENCE_SIDE_MIN_PX} px"
            )
    return decoded


def _negative(loaded: Loaded, negative_prompt: str, arguments: dict[str, Any]) -> list[str]:
    if "negative_prompt" in loaded.parameters and "true_cfg_scale" not in loaded.parameters:
        arguments["negative_prompt"] = negative_prompt
        return []
    return [f"negative_prompt was ignored: {loaded.name} has no use for one"]


def _check_use(loaded: Loaded, order: Generate) -> None:
    remedy = f"configure another model for {order.kind}"
    if loaded.speaks:
        raise RefusedError("model_unavailable", f"{loaded.name} makes clips that say a sound, and no images; {remedy}")
    if order.speaks:
        raise RefusedError("model_unavailable", f"{loaded.name} makes images, and no clips that say a sound; {remedy}")


def _check_size(loaded: Loaded, order: Generate) -> None:
    multiple = loaded.side_multiple_px
    for name, side in (("width", order.width), ("height", order.height)):
        if side < multiple or side % multiple:
            raise RefusedError(
                "invalid_params", f"{name} must be a multiple of {multiple} for {loaded.name}, not {side}"
            )

"""The first small picture or clip of a pipeline: a half-dead device answers with black or NaN. And its rehearsals.

Knows how each kind of pipeline is called; does not load.
"""

from __future__ import annotations

import io
import wave
from typing import Any

import torch
from PIL import Image

from handlers.runtime.loaded import Loaded, LoadError
from handlers.runtime.messages import Generate, Load
from handlers.runtime.needs import GREY, first_picture
from handlers.runtime.speaking import FRAMES_MIN, Segment, Speech, speak

CANARY_SIDE_PX = 64
CANARY_SPREAD_MIN = 1 / 255
PROMPT = "a portrait"
REHEARSED_STEPS = 1
SILENCE_RATE = 16000


def prove(loaded: Loaded, steps: int = 1) -> None:
    """Draw a tiny image, or the shortest clip, and look at it. Raises: LoadError."""
    side = max(CANARY_SIDE_PX, loaded.side_multiple_px)
    with torch.no_grad():
        drawn = (
            _say(loaded, side, steps) if loaded.speaks else _draw(loaded, side, side, steps, **_free(loaded))
        ).float()
        if not bool(torch.isfinite(drawn).all()):
            raise LoadError(f"{loaded.name} on {loaded.device} draws values that are not numbers")
        if float(drawn.std()) < CANARY_SPREAD_MIN:
            raise LoadError(f"{loaded.name} on {loaded.device} draws one flat colour")


def rehearse(loaded: Loaded, width: int, height: int, images: int) -> None:
    """Draw as a request will: the compiler sees the shapes of that size and of so many images at once.

    Raises: LoadError for a pipeline whose shapes follow the length of a sound.
    """
    if loaded.speaks:
        raise LoadError(f"the shapes of {loaded.name} follow the length of each sound")
    guidance = {} if loaded.ignores_guidance else {"guidance_scale": loaded.guidance_scale}
    with torch.no_grad():
        _draw(loaded, width, height, 1, prompt=[PROMPT] * images, **guidance)


def rehearsal(order: Load, loaded: Loaded, width: int, height: int) -> Generate:
    """Write the order that warms a pipeline up at a size: one image in one step, or a second of silence."""
    blobs = (_grey(width, height), _silence()) if loaded.speaks else ()
    return Generate(
        run=order.run,
        kind=order.kind,
        prompt=PROMPT,
        negative_prompt=None,
        seeds=(0,),
        width=width,
        height=height,
        steps=REHEARSED_STEPS,
        guidance_scale=None,
        blobs=blobs,
        speaks=loaded.speaks,
    )


def _grey(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), GREY).save(file, "PNG")
    return file.getvalue()


def _silence() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(SILENCE_RATE)
        written.writeframes(bytes(2 * SILENCE_RATE))
    return file.getvalue()


def _free(loaded: Loaded) -> dict[str, Any]:
    return {"guidance_scale": 1.0} if "guidance_scale" in loaded.parameters else {}


def _draw(loaded: Loaded, width: int, height: int, steps: int, **arguments: Any) -> Any:
    chosen: dict[str, Any] = {"prompt": PROMPT, "generator": torch.Generator("cpu").manual_seed(0), **arguments}
    chosen |= first_picture(loaded.name, width, height)
    return loaded.pipe(width=width, height=height, num_inference_steps=steps, output_type="pt", **chosen).images


def _say(loaded: Loaded, side: int, steps: int) -> Any:
    picture, silence = Image.new("RGB", (side, side), GREY), torch.zeros(2, 1)
    speech = Speech(PROMPT, silence, side, side, steps, seed=0)
    return speak(loaded, speech, Segment(0, FRAMES_MIN), picture, lambda _steps: None)

"""Runs one request on a loaded pipeline: steps, cancellation, memory, and what went wrong, as a code.

Knows torch. Does not know sockets; it is called on the one thread that owns the device.
"""

from __future__ import annotations

import io
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from handlers.runtime.memory import free_memory
from handlers.runtime.messages import Done, Failed, Generate
from handlers.runtime.pipelines import Loaded
from handlers.runtime.redaction import redact

REFERENCE_SIDE_MIN_PX = 64
REFERENCE_PIXELS_MAX = 50_000_000
CUDA_OUT_OF_MEMORY = 2
_MEMORY_WORDS = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_FATAL_WORDS = ("CUDA error", "CUDNN_STATUS", "CUBLAS_STATUS")

OnStep = Callable[[int, int], None]
IsCancelled = Callable[[], bool]


class RefusedError(Exception):
    """The request cannot be run as it is. The arguments are a code and a sentence for the owner."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StoppedError(Exception):
    """The run was cancelled between two steps."""


class FatalDeviceError(Exception):
    """The device's state is undefined: this process must end, and nothing it made since counts."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image that still lies in a tensor. Shapes: pixels (H, W, 3) uint8 on the host."""

    pixels: Any

    def to_bytes(self) -> bytes:
        """Copy the pixels out; not to be called on the device's thread."""
        return bytes(self.pixels.numpy().tobytes())


@dataclass(frozen=True, slots=True)
class Made:
    """What a request came to before its pixels are copied out."""

    facts: dict[str, Any]
    pictures: tuple[Picture, ...]

    def to_message(self, run: int) -> Done:
        """Copy the pixels and make the answer."""
        return Done(run=run, facts=self.facts, blobs=tuple(picture.to_bytes() for picture in self.pictures))


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


def run(loaded: Loaded, order: Generate, on_step: OnStep, is_cancelled: IsCancelled) -> Made | Failed:
    """Make the images of one request; an exhausted memory is freed and the request tried once more.

    Raises: FatalDeviceError.
    """
    ended = _attempt(loaded, order, on_step, is_cancelled)
    if isinstance(ended, Failed) and ended.code == "out_of_memory":
        free_memory()
        ended = _attempt(loaded, order, on_step, is_cancelled)
    if isinstance(ended, Failed):
        loaded.pipe.maybe_free_model_hooks()  # resets stateful caches: they keep the interrupted run's shapes
        if ended.code != "cancelled":
            free_memory()
    return ended


def _attempt(loaded: Loaded, order: Generate, on_step: OnStep, is_cancelled: IsCancelled) -> Made | Failed:
    try:
        return _draw(loaded, order, on_step, is_cancelled)
    except StoppedError:
        return Failed(order.run, "cancelled", "cancelled between two steps", {})
    except RefusedError as error:
        return Failed(order.run, error.code, str(error), {})
    except Exception as error:  # noqa: BLE001 the classes are diffusers', torch's and the driver's
        return _describe(error, loaded, order)


def _draw(loaded: Loaded, order: Generate, on_step: OnStep, is_cancelled: IsCancelled) -> Made:
    started = time.monotonic()
    arguments, notes = _arguments(loaded, order)
    steps = arguments["num_inference_steps"]
    total = steps * len(order.seeds)
    pictures: list[Picture] = []

    def on_step_end(pipe: Any, index: int, _timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        on_step(min(len(pictures) * steps + index + 1, total), total)
        if is_cancelled():
            raise StoppedError
        return kwargs

    with torch.no_grad():
        for seed in order.seeds:
            if is_cancelled():
                raise StoppedError
            # A generator of the processor gives the same noise on every device.
            generator = torch.Generator("cpu").manual_seed(seed)
            drawn = loaded.pipe(
                **arguments, generator=generator, output_type="pt", callback_on_step_end=on_step_end
            ).images
            pictures.extend(_to_pictures(drawn))
    if not pictures:
        raise RefusedError("nothing_produced", "the pipeline returned no image")
    facts = {
        "model": loaded.model,
        "pipeline_class": loaded.name,
        "device": loaded.device,
        "width": int(pictures[0].pixels.shape[1]),
        "height": int(pictures[0].pixels.shape[0]),
        "steps": steps,
        "guidance_scale": arguments.get("guidance_scale"),
        "notes": notes,
        "duration_s": round(time.monotonic() - started, 4),
    }
    return Made(facts, tuple(pictures))


def _to_pictures(drawn: Any) -> list[Picture]:
    if not bool(torch.isfinite(drawn).all()):
        raise RefusedError("generation_failed", "the pipeline drew values that are not numbers")
    pixels = (drawn.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
    return [Picture(image) for image in pixels]


def _arguments(loaded: Loaded, order: Generate) -> tuple[dict[str, Any], list[str]]:
    _check_size(loaded, order)
    steps = order.steps or loaded.steps
    arguments: dict[str, Any] = {
        "prompt": order.prompt,
        "width": order.width,
        "height": order.height,
        "num_inference_steps": steps,
    }
    notes: list[str] = []
    guidance = loaded.guidance_scale if order.guidance_scale is None else order.guidance_scale
    if not loaded.ignores_guidance:
        arguments["guidance_scale"] = guidance
    elif order.guidance_scale is not None:
        notes.append(f"guidance_scale {order.guidance_scale:g} was ignored: the model is distilled")
    if order.negative_prompt:
        notes.extend(_negative(loaded, order.negative_prompt, arguments))
    if order.blobs:
        if "image" not in loaded.parameters:
            raise RefusedError("invalid_params", f"{loaded.name} takes no reference images")
        arguments["image"] = decode_references(order.blobs)
    return arguments, notes


def _negative(loaded: Loaded, negative_prompt: str, arguments: dict[str, Any]) -> list[str]:
    if "negative_prompt" in loaded.parameters and "true_cfg_scale" not in loaded.parameters:
        arguments["negative_prompt"] = negative_prompt
        return []
    return [f"negative_prompt was ignored: {loaded.name} has no use for one"]


def _check_size(loaded: Loaded, order: Generate) -> None:
    multiple = loaded.side_multiple_px
    for name, side in (("width", order.width), ("height", order.height)):
        if side < multiple or side % multiple:
            raise RefusedError(
                "invalid_params", f"{name} must be a multiple of {multiple} for {loaded.name}, not {side}"
            )


def _describe(error: Exception, loaded: Loaded, order: Generate) -> Failed:
    prompts = (order.prompt, order.negative_prompt)
    message = redact(f"{type(error).__name__}: {error}"[:2000], prompts)
    code = classify(error)
    if code == "fatal":
        raise FatalDeviceError(message)
    details = {
        "model": loaded.model,
        "pipeline_class": loaded.name,
        "device": loaded.device,
        "width": order.width,
        "height": order.height,
        "steps": order.steps or loaded.steps,
        "seeds": list(order.seeds),
    }
    return Failed(order.run, code, message, details, redact(traceback.format_exc()[-8000:], prompts))


def classify(error: BaseException) -> str:
    """Tell a lack of memory and a broken device from an ordinary failure.

    Source: the CUDA runtime's list of errors that leave the process in an inconsistent state; kept wide on purpose,
    since a restart costs a load and a poisoned context costs wrong images.
    """
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text for words in _MEMORY_WORDS):
        return "out_of_memory"
    if isinstance(error, torch.AcceleratorError):
        return "out_of_memory" if getattr(error, "error_code", None) == CUDA_OUT_OF_MEMORY else "fatal"
    if isinstance(error, RuntimeError) and any(words in text for words in _FATAL_WORDS):
        return "fatal"
    return "generation_failed"

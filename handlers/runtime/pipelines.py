"""Loads pipelines and knows what each class needs: defaults, size rule, what it ignores.

Knows torch and diffusers. Does not know sessions, sockets or the daemon.
"""

from __future__ import annotations

import errno
import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline
from huggingface_hub.constants import HF_HUB_CACHE

from handlers.runtime.arrival import watched
from handlers.runtime.canary import prove, rehearse
from handlers.runtime.embedded import discard_embedded, embedded_folder
from handlers.runtime.loaded import Loaded, LoadError
from handlers.runtime.messages import Load
from handlers.runtime.needs import lacking
from handlers.runtime.options import SpeedOptions, read_options
from handlers.runtime.options_apply import OptionRefusedError, loading_arguments, place, quantizing, speed_up
from handlers.runtime.speaking import SIGMAS

EMBEDDED = "embedded"
EMBEDDED_CLASS = "Flux2KleinPipeline"
# Steps and guidance per class where ours differ from the class's own signature.
DEFAULTS: dict[str, tuple[int, float | None]] = {
    "FluxPipeline": (25, 7.5),
    "Flux2KleinPipeline": (4, None),
    "LTX2DFRPipeline": (len(SIGMAS), None),
}
FULL = (errno.ENOSPC, errno.EDQUOT)
DTYPES = ("bfloat16", "float16", "float32")

OnPhase = Callable[[str], None]


def quieten() -> None:
    """Silence the libraries: their warnings quote prompts."""
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def versions() -> dict[str, str | None]:
    """Name the versions that a load depends on."""
    return {
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }


def load(order: Load, on_phase: OnPhase) -> tuple[Loaded, dict[str, Any]]:
    """Load a pipeline, move it to its device and prove it with a small image.

    Raises: LoadError.
    """
    device = resolve_device(order.device)
    dtype = resolve_dtype(order.dtype, device)
    options = read_options(order.options)
    make_current(device)
    started = time.monotonic()
    try:
        on_phase(f"loading {order.model}")
        with quantizing(options, LoadError):
            pipe = _from_pretrained(order, dtype, options, on_phase)
        on_phase(f"moving it to {device}")
        loaded = _place(pipe, order, device, dtype, options)
        load_s = time.monotonic() - started
        on_phase("drawing the first small image")
        prove(loaded)
        on_phase("applying its speed options")
        applied = speed_up(pipe, options, lambda steps: prove(loaded, steps), lambda *shape: rehearse(loaded, *shape))
    except OptionRefusedError as error:
        raise LoadError(f"{order.model}: {error}") from error
    facts = {
        "model": order.model,
        "pipeline_class": loaded.name,
        "device": device,
        "device_name": device_name(device),
        "dtype": dtype,
        "steps": loaded.steps,
        "guidance_scale": loaded.guidance_scale,
        "load_s": round(load_s, 3),
        "canary_s": round(time.monotonic() - started - load_s, 3),
        "options": applied,
    }
    return loaded, facts


def with_defaults(loaded: Loaded, order: Load) -> Loaded:
    """Give a kind its own steps and guidance on a pipeline that several kinds may share."""
    guidance = loaded.guidance_scale if order.guidance_scale is None else order.guidance_scale
    return replace(loaded, steps=order.steps or loaded.steps, guidance_scale=guidance)


def resolve_device(wanted: str) -> str:
    """Turn `auto` into a device and refuse CUDA where there is none. Raises: LoadError."""
    available = torch.cuda.is_available()
    name, _, number = wanted.partition(":")
    if wanted == "auto":
        return "cuda" if available else "cpu"
    if name == "cuda" and not available:
        why = "this torch is a CPU build" if torch.version.cuda is None else "no usable GPU or driver was found"
        raise LoadError(
            f"CUDA is not available ({why}, torch {torch.__version__}); set LISTENER_DEVICE=cpu to run on the "
            "processor, or install the CUDA build of torch and the driver"
        )
    if name == "cuda" and number.isdecimal() and int(number) >= (count := torch.cuda.device_count()):
        raise LoadError(f"there is no {wanted}: {count} GPU(s) can be seen, numbered from cuda:0")
    return wanted


def make_current(device: str) -> None:
    """Have the libraries mean this device where they name none: some kernels start on the current one."""
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)


def resolve_dtype(wanted: str, device: str) -> str:
    """Choose the number format; processors always compute in float32. Raises: LoadError."""
    if wanted not in DTYPES:
        raise LoadError(f"dtype {wanted!r} is not one of {', '.join(DTYPES)}")
    return "float32" if device == "cpu" else wanted


def device_name(device: str) -> str:
    """Name the device as its maker does."""
    return str(torch.cuda.get_device_name(device)) if device.startswith("cuda") else "cpu"


def _from_pretrained(order: Load, dtype: str, speed: SpeedOptions, on_phase: OnPhase) -> Any:
    pipeline_class = _pipeline_class(order.pipeline_class)
    if lack := lacking(order.pipeline_class, Path(order.model).expanduser()):
        raise LoadError(lack)
    options = {"dtype": getattr(torch, dtype), "use_safetensors": True, **loading_arguments(speed)}
    if order.model == EMBEDDED:
        return _from_embedded(order, options)
    folder = Path(order.model).expanduser()
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise LoadError(f"the folder {folder} has no model_index.json, so it is no diffusers pipeline")
        return pipeline_class.from_pretrained(folder, local_files_only=True, **options)
    if order.model.startswith(("/", ".", "~")) or order.model.count("/") > 1:
        raise LoadError(f"the folder {folder} does not exist; name a folder with a model_index.json or a hub id")
    try:
        with watched(order.model, on_phase):
            return pipeline_class.from_pretrained(order.model, **options)
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = f"{HF_HUB_CACHE} (MODEL_STORAGE_PATH)"
        raise LoadError(f"the disk is full while {order.model} is downloaded to {where}: make room there") from error


def _from_embedded(order: Load, options: dict[str, Any]) -> Any:
    name = order.pipeline_class or EMBEDDED_CLASS
    cache_dir = Path(order.cache_dir)
    try:
        folder = embedded_folder(cache_dir, name)
    except LookupError as error:
        raise LoadError(str(error)) from error
    try:
        return _pipeline_class(name).from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, RuntimeError):
        discard_embedded(cache_dir, folder)
    return _pipeline_class(name).from_pretrained(embedded_folder(cache_dir, name), local_files_only=True, **options)


def _pipeline_class(name: str | None) -> Any:
    if name is None:
        return DiffusionPipeline
    found = getattr(diffusers, name, None)
    if not (inspect.isclass(found) and issubclass(found, DiffusionPipeline)):
        raise LoadError(f"diffusers {diffusers.__version__} has no pipeline class {name!r}")
    return found


def _place(pipe: Any, order: Load, device: str, dtype: str, options: SpeedOptions) -> Loaded:
    parameters = inspect.signature(type(pipe).__call__).parameters
    if "callback_on_step_end" not in parameters:
        raise LoadError(f"{type(pipe).__name__} has no step callback, so it could not be cancelled or watched")
    pipe.set_progress_bar_config(disable=True)
    place(pipe, options, device, dtype)
    own_steps, own_guidance = (
        parameters[name].default if name in parameters else None for name in ("num_inference_steps", "guidance_scale")
    )
    steps, guidance = DEFAULTS.get(type(pipe).__name__, (own_steps, own_guidance))
    return Loaded(
        pipe,
        order.model,
        device,
        dtype,
        int(steps or 1),
        guidance,
        frozenset(parameters),
        offloaded=options.offload is not None,
        clip_fps=options.clip_fps,
        clip_frames_max=options.clip_frames_max,
    )

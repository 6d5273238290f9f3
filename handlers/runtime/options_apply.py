"""Applies speed options to a pipeline through diffusers' own API, or refuses one by name with the reason.

Knows torch and diffusers. Proof is a picture: an option that only fails while drawing is refused as well.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import diffusers
import torch

from handlers.runtime.failures import classify
from handlers.runtime.options import QUANTIZATIONS, STEP_CACHES, SpeedOptions
from handlers.runtime.options_compile import Draw, compile_blocks
from handlers.runtime.options_prompts import PromptCache

DENOISERS = ("transformer", "transformer_2", "unet")
PROOF_STEPS = 4
"""A step cache shows from the second step on."""
REASON_CHARS_MAX = 300

Prove = Callable[[int], None]
"""Draws a small picture in so many steps and looks at it; raises when it is none."""


class OptionRefusedError(Exception):
    """A speed option cannot be used here; the text names it and says why."""


def denoisers(pipe: Any) -> list[Any]:
    """The parts that run once a step."""
    return [part for part in (getattr(pipe, name, None) for name in DENOISERS) if isinstance(part, torch.nn.Module)]


def loading_arguments(options: SpeedOptions) -> dict[str, Any]:
    """What `from_pretrained` has to know. Raises: OptionRefusedError."""
    if options.quantization is None:
        return {}
    option = f"quantization {options.quantization}"
    if importlib.util.find_spec("torchao") is None:
        raise OptionRefusedError(f"{option} needs torchao, which is not installed: pip install torchao==0.18.0")
    with _refusing(option):
        schemes = importlib.import_module("torchao.quantization")  # seconds, and only where it is asked for
        scheme = getattr(schemes, QUANTIZATIONS[options.quantization])()
        mapping = dict.fromkeys(DENOISERS[:2], diffusers.TorchAoConfig(scheme))
        return {"quantization_config": diffusers.PipelineQuantizationConfig(quant_mapping=mapping)}


@contextmanager
def quantizing(options: SpeedOptions, *others: type[Exception]) -> Iterator[None]:
    """Blame the quantisation for what goes wrong while loading; not for missing files, nor for `others`.

    Raises: OptionRefusedError.
    """
    if options.quantization is None:
        yield
        return
    with _refusing(f"quantization {options.quantization}", OSError, *others):
        yield


def place(pipe: Any, options: SpeedOptions, device: str, dtype: str) -> None:
    """Bring a pipeline to its device, in the form that is asked for. Raises: OptionRefusedError."""
    if options.storage is not None:
        with _refusing(f"storage {options.storage}"):
            for part in denoisers(pipe):
                part.enable_layerwise_casting(getattr(torch, options.storage), getattr(torch, dtype))
    if options.fuse_qkv:
        with _refusing("fuse_qkv"):
            for part in denoisers(pipe):
                part.fuse_qkv_projections()
    if options.offload is None:
        pipe.to(device)
    elif device == "cpu":
        raise OptionRefusedError(f"offload {options.offload} keeps weights off a GPU; the processor has them already")
    else:
        with _refusing(f"offload {options.offload}"):
            offload(pipe, options.offload, device)
    for name in ("channels_last", "vae_tiling", "vae_slicing"):
        if getattr(options, name):
            with _refusing(name):
                _set_autoencoder(pipe, name)


def offload(pipe: Any, way: str, device: str) -> None:
    """Keep weights in the host's memory: whole parts, groups of layers, or each layer (slowest, smallest)."""
    if way == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif way == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        streams = device.startswith("cuda")
        pipe.enable_group_offload(torch.device(device), offload_type="leaf_level", use_stream=streams)


def speed_up(pipe: Any, options: SpeedOptions, prove: Prove, draw: Draw) -> dict[str, Any]:
    """Switch on what works on a placed pipeline; tell what came of it. Raises: OptionRefusedError."""
    facts: dict[str, Any] = options.model_dump(mode="json", exclude_defaults=True)
    facts.update(_set_attention(pipe, options.attention, prove))
    if options.step_cache is not None:
        with _refusing(f"step_cache {options.step_cache}"):
            for part in denoisers(pipe):
                part.enable_cache(_step_cache(pipe, options, options.step_cache))
            prove(PROOF_STEPS)
    if options.compile:
        whole = options.step_cache is None and options.offload is None  # hooks break a block into pieces
        with _refusing("compile"):
            for part in denoisers(pipe):
                facts["compile"] = compile_blocks(part, options.shapes(), draw, whole=whole)
    if options.prompt_cache and callable(getattr(pipe, "encode_prompt", None)):
        pipe.encode_prompt = PromptCache(pipe.encode_prompt, options.prompt_cache)
    return facts


def _set_autoencoder(pipe: Any, name: str) -> None:
    if name == "channels_last":
        for part in (pipe.vae, getattr(pipe, "unet", None)):
            if part is not None:
                part.to(memory_format=torch.channels_last)
    elif name == "vae_tiling":
        pipe.vae.enable_tiling()
    else:
        pipe.vae.enable_slicing()


def _set_attention(pipe: Any, ladder: tuple[str, ...], prove: Prove) -> dict[str, Any]:
    """Take the first backend that is there and draws; without a ladder, torch's own.

    Set in any case: diffusers makes the last backend set the default of every pipeline of the process.
    """
    refused: dict[str, str] = {}
    for backend in ladder or ("native",):
        try:
            with _refusing(f"attention {backend}"):
                for part in denoisers(pipe):
                    if hasattr(part, "set_attention_backend"):
                        part.set_attention_backend(backend)
                if ladder:
                    prove(1)
        except OptionRefusedError as error:
            refused[backend] = str(error)
        else:
            return {"attention": backend, "attention_refused": refused} if ladder else {}
    raise OptionRefusedError("; ".join(refused.values()))


def _step_cache(pipe: Any, options: SpeedOptions, name: str) -> Any:
    make = getattr(diffusers, STEP_CACHES[name])
    values: dict[str, Any] = dict(options.step_cache_values)
    known = {field.name for field in dataclasses.fields(make) if not field.name.endswith("callback")}
    if unknown := sorted(set(values) - known):
        raise OptionRefusedError(f"step_cache {name} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    if name == "taylor_seer":
        values.setdefault("taylor_factors_dtype", denoisers(pipe)[0].dtype)
    if name == "pyramid_attention":
        values.setdefault("spatial_attention_block_skip_range", 2)
        values["current_timestep_callback"] = lambda: pipe._current_timestep
    return make(**values)


@contextmanager
def _refusing(option: str, *passing: type[Exception]) -> Iterator[None]:
    """Turn what a library raises into a refusal; what ails the device or its memory is not the option's fault."""
    as_they_are: tuple[type[Exception], ...] = (OptionRefusedError, *passing)
    try:
        yield
    except as_they_are:
        raise
    except Exception as error:
        if classify(error) != "generation_failed":
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:REASON_CHARS_MAX]
        raise OptionRefusedError(f"{option} cannot be used: {reason}") from error

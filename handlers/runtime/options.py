"""The speed options of a pipeline as configuration: their names, bounds, and which exclude each other.

Pure: knows no torch, so that the daemon can refuse a wrong one before it starts a child.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from listener.errors import ConfigError

SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})(?:x([1-9]\d?))?")
AUTO_ATTENTION = ("_flash_3", "flash", "_native_cudnn", "native")
"""Fastest first; a backend that is not installed or fails its proof is passed over."""

STEP_CACHES = {
    "first_block": "FirstBlockCacheConfig",
    "pyramid_attention": "PyramidAttentionBroadcastConfig",
    "sea": "SeaCacheConfig",
    "taylor_seer": "TaylorSeerCacheConfig",
    "text_kv": "TextKVCacheConfig",
}
REFUSED_STEP_CACHES = {
    "mag": "it must know the number of steps of every request beforehand",
    "faster": "it is made for video models that draw with and without the prompt in one batch",
    "layer_skip": "it changes guidance and is no cache",
}
QUANTIZATIONS = {
    "int8": "Int8WeightOnlyConfig",
    "int8_dynamic": "Int8DynamicActivationInt8WeightConfig",
    "float8": "Float8WeightOnlyConfig",
    "float8_dynamic": "Float8DynamicActivationFloat8WeightConfig",
}

Number: TypeAlias = bool | int | float


class SpeedOptions(BaseModel):
    """What a pipeline does to be faster or smaller; nothing but the prompt cache, unless it is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    quantization: Literal["int8", "int8_dynamic", "float8", "float8_dynamic"] | None = None
    storage: Literal["float8_e4m3fn", "float8_e5m2"] | None = None
    fuse_qkv: bool = False
    channels_last: bool = False
    vae_tiling: bool = False
    vae_slicing: bool = False
    offload: Literal["model", "group", "sequential"] | None = None
    attention: tuple[str, ...] = ()
    step_cache: str | None = None
    step_cache_values: dict[str, Number] = Field(default_factory=dict)
    compile: tuple[str, ...] = ()
    prompt_cache: Annotated[int, Field(ge=0, le=256)] = 4
    clip_fps: Annotated[float, Field(ge=8, le=60)] = 24.0
    clip_frames_max: Annotated[int, Field(ge=9, le=961)] = 241

    @field_validator("attention", mode="before")
    @classmethod
    def _ladder(cls, value: object) -> object:
        if value == "auto":
            return AUTO_ATTENTION
        if isinstance(value, str):
            return (value,)
        return tuple(value) if isinstance(value, list) else value

    @field_validator("compile", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        sizes = tuple(value) if isinstance(value, list) else value
        if not isinstance(sizes, tuple) or not all(isinstance(size, str) and SIZE.fullmatch(size) for size in sizes):
            raise ValueError(
                'must list the sizes to compile for, such as ["1024x1024", "512x512x4"] (x4: four at once)'
            )
        return sizes

    @field_validator("step_cache")
    @classmethod
    def _known_cache(cls, value: str | None) -> str | None:
        if value in REFUSED_STEP_CACHES:
            raise ValueError(f"{value} is refused: {REFUSED_STEP_CACHES[value]}")
        if value is not None and value not in STEP_CACHES:
            raise ValueError(f"{value!r} is not one of {', '.join(STEP_CACHES)}")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.quantization and self.storage:
            raise ValueError("quantization and storage both change how weights are kept: choose one")
        if self.quantization and self.fuse_qkv:
            raise ValueError("fuse_qkv works on weights that are not quantised: choose one")
        if self.step_cache_values and self.step_cache is None:
            raise ValueError("step_cache_values without a step_cache")
        return self

    def shapes(self) -> list[tuple[str, int, int, int]]:
        """The sizes to compile for: name, width, height, images at once."""
        found = ((size, SIZE.fullmatch(size)) for size in self.compile)
        return [(size, int(match[1]), int(match[2]), int(match[3] or 1)) for size, match in found if match]


def options_text(kind: str, options: Mapping[str, Any]) -> str:
    """Check options and write them as one canonical text.

    Raises: ConfigError naming every option that is wrong.
    """
    try:
        return SpeedOptions.model_validate(dict(options)).model_dump_json(exclude_defaults=True)
    except ValidationError as error:
        problems = [
            f"speed options of {kind}: {_described(one['loc'], one['type'], one['msg'])}" for one in error.errors()
        ]
        raise ConfigError("; ".join(problems), details={"problems": problems}) from None


def _described(place: tuple[int | str, ...], problem: str, message: str) -> str:
    name = str(place[0]) if place else ""
    if problem == "extra_forbidden":
        return f"{name} is unknown; there are {', '.join(SpeedOptions.model_fields)}"
    return f"{name}: {message}".removeprefix(": ").replace("Value error, ", "")


def read_options(text: str) -> SpeedOptions:
    """Read what `options_text` wrote."""
    return SpeedOptions.model_validate_json(text or "{}")

"""What a headshot row may ask for. Knows sizes and limits; does not know models."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from handlers.inputs.text import limit, require_prompt
from listener.errors import Unusable

SIDE_MIN_PX = 64
SIDE_MAX_PX = 2048
# The autoencoder of FLUX shrinks by 8 and its transformer packs two by two.
SIDE_MULTIPLE_PX = 16
SEED_MAX = 2**63 - 1


class HeadshotParams(BaseModel):
    """The columns of a headshot row that steer the picture; null means the pipeline's default."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    prompt: str = Field(repr=False)
    negative_prompt: str | None = Field(default=None, repr=False)
    width: int | None = None
    height: int | None = None
    num_inference_steps: Annotated[int, Field(ge=1, le=100)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0, le=SEED_MAX)] | None = None

    @field_validator("prompt")
    @classmethod
    def _clean_prompt(cls, value: str) -> str:
        return require_prompt(value)

    @field_validator("negative_prompt")
    @classmethod
    def _clean_negative_prompt(cls, value: str | None) -> str | None:
        return limit(value) or None if value is not None else None

    @field_validator("width", "height")
    @classmethod
    def _check_side(cls, value: int | None) -> int | None:
        if value is None:
            return None
        if not SIDE_MIN_PX <= value <= SIDE_MAX_PX:
            allowed = f"{SIDE_MIN_PX} to {SIDE_MAX_PX} pixels"
            raise Unusable(f"{value} is outside of {allowed}", f"give a multiple of {SIDE_MULTIPLE_PX} from {allowed}")
        below = value // SIDE_MULTIPLE_PX * SIDE_MULTIPLE_PX
        if below != value:
            problem = f"{value} is not a multiple of {SIDE_MULTIPLE_PX}"
            raise Unusable(problem, f"use {below} or {below + SIDE_MULTIPLE_PX}")
        return value

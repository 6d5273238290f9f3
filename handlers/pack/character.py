"""Who a pack shows: the character's config, checked. Knows words and limits; does not know prompts or models."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from handlers.inputs.text import limit
from listener.errors import Unusable

WORDS_CHARS_MAX = 80
AGE_MIN_YEARS = 18
AGE_MAX_YEARS = 100
SEED_MAX = 2**53 - 1
"""JavaScript reads larger integers wrongly, and a seed is there to be used again."""
# A phrase of a few plain words: no brackets, weights or line breaks that some prompt languages read as commands.
_PLAIN = re.compile(r"[^\W_][\w ',./&+-]*")


def _plain_words(value: str) -> str:
    cleaned = limit(value, WORDS_CHARS_MAX)
    if not cleaned:
        raise Unusable("is empty", "leave the field out, or describe it in a few words")
    if _PLAIN.fullmatch(cleaned) is None:
        raise Unusable("is more than plain words", "use letters, digits, spaces and , . ' / & + - only")
    return cleaned


Words = Annotated[str, AfterValidator(_plain_words)]


class Character(BaseModel):
    """The looks of a character. Units: age_range is years, youngest and oldest."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    age_range: tuple[int, int]
    subject: Literal["woman", "man", "person"] = "woman"
    ethnicity: Words | None = Field(default=None, repr=False)
    hair_color: Words | None = Field(default=None, repr=False)
    hair_style: Words | None = Field(default=None, repr=False)
    eye_color: Words | None = Field(default=None, repr=False)
    body_type: Words | None = Field(default=None, repr=False)
    outfit_style: Words | None = Field(default=None, repr=False)

    @field_validator("age_range")
    @classmethod
    def _of_adults(cls, value: tuple[int, int]) -> tuple[int, int]:
        youngest, oldest = value
        if youngest > oldest:
            raise Unusable(f"{youngest} is above {oldest}", "give the youngest age first")
        if youngest < AGE_MIN_YEARS or oldest > AGE_MAX_YEARS:
            allowed = f"{AGE_MIN_YEARS} to {AGE_MAX_YEARS} years"
            raise Unusable(f"{youngest} to {oldest} is outside of {allowed}", f"give ages from {allowed}")
        return value


class Style(BaseModel):
    """What is locked with a character beside its looks: the same in every image of every pack.

    `style_strength` is how much the reference image holds back the prompt; a pipeline without such a dial ignores it,
    and the result says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    seed: Annotated[int, Field(ge=0, le=SEED_MAX)] | None = None
    style_strength: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.8
    negative_prompt: str | None = Field(default=None, repr=False)

    @field_validator("negative_prompt")
    @classmethod
    def _clean_negative_prompt(cls, value: str | None) -> str | None:
        return limit(value) or None if value is not None else None

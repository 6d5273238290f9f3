"""What a try-on row may ask for: the payload, version 1. Knows its fields and limits; knows no model and no storage."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict

from handlers.inputs.text import limit
from listener.errors import Unusable

PAYLOAD_VERSION = 1
PICTURES_MIN = 2
PICTURES_MAX = 8
SOURCE_CHARS_MAX = 2048
PROMPT_MARK = "{prompt}"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Label = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")]


class Overrides(BaseModel):
    """What a variant does otherwise; null means as everybody's."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    prompt_template: Annotated[str, Field(max_length=4000)] | None = None
    pipeline: Name | None = None
    generator: Name | None = None
    steps: Annotated[int, Field(ge=1, le=100)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] | None = None

    @field_validator("prompt_template")
    @classmethod
    def _keep_the_owner_s_words(cls, value: str | None) -> str | None:
        if value is not None and PROMPT_MARK not in value:
            raise Unusable("does not say where the row's words go", f"put {PROMPT_MARK} into it")
        return value


class Variant(BaseModel):
    """Which variant of a test the row was drawn for; the insert writes it, nobody else can."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    name: Name
    overrides: Overrides = Overrides()


EXAMPLE: JsonDict = {
    "task_id": "order-4711",
    "image_urls": ["https://shop.example/person.jpg", "https://shop.example/suit.jpg"],
    "prompt": "a summer day",
}


class TryonParams(BaseModel):
    """The columns of a try-on row: the same for users (b2c) and stores (b2b). The first image is the person."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, json_schema_extra={"examples": [EXAMPLE]}
    )

    payload_version: int = Field(PAYLOAD_VERSION, description="The version of the payload; 1 is the only one")
    channel: Literal["b2c", "b2b"] = "b2c"
    task_id: Label | None = Field(None, description="Your own name of it; the same name is the same session")
    request_id: Label | None = Field(None, description="Your own, for your logs")
    session_id: UUID | None = None
    user_id: UUID | None = None
    store_id: UUID | None = Field(default=None, validate_default=True)
    image_urls: tuple[str, ...] = Field(
        min_length=PICTURES_MIN, max_length=PICTURES_MAX, repr=False, description="The person first, then what is worn"
    )
    prompt: str | None = Field(default=None, repr=False, description="A few words on how it should look")
    created_at: datetime | None = None
    variant: Variant | None = None

    @field_validator("payload_version")
    @classmethod
    def _know_the_version(cls, value: int) -> int:
        if value != PAYLOAD_VERSION:
            problem = f"version {value} of the payload is not known here"
            raise Unusable(problem, f"send version {PAYLOAD_VERSION}, or update the worker")
        return value

    @field_validator("store_id")
    @classmethod
    def _fit_the_channel(cls, value: UUID | None, info: ValidationInfo) -> UUID | None:
        channel = info.data.get("channel")
        if channel == "b2b" and value is None:
            raise Unusable("is missing, and the channel is b2b", "name the store that pays, or use the channel b2c")
        if channel == "b2c" and value is not None:
            raise Unusable("names a store, and the channel is b2c", "leave it out, or use the channel b2b")
        return value

    @field_validator("image_urls")
    @classmethod
    def _check_sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, source in enumerate(value, 1):
            scheme = _SCHEME.match(source)
            if not source.strip() or len(source) > SOURCE_CHARS_MAX:
                problem = f"picture {number} has {len(source)} characters"
                raise Unusable(problem, f"give a URL or a path of at most {SOURCE_CHARS_MAX}")
            if scheme is not None and scheme[1].lower() not in {"https", "http"}:
                problem = f"picture {number} is neither a URL with https:// nor a path in the bucket uploads"
                raise Unusable(problem, "upload the picture and give its path, or give an https URL")
        return value

    @field_validator("prompt")
    @classmethod
    def _clean_prompt(cls, value: str | None) -> str | None:
        return limit(value) or None if value is not None else None

    @property
    def overrides(self) -> Overrides:
        """What the row's variant does otherwise; nothing without one."""
        return self.variant.overrides if self.variant is not None else Overrides()

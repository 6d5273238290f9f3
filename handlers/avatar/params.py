"""What an avatar row may ask for. Knows its fields and limits; does not know models, files or storage."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.config import JsonDict

from handlers.inputs.text import limit
from listener.errors import Unusable

SOURCE_CHARS_MAX = 2048
SEED_MAX = 2**63 - 1
Resolution = Literal["720p", "480p"]
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
EXAMPLE: JsonDict = {
    "image_url": "https://shop.example/portrait.png",
    "audio_url": "https://shop.example/speech.wav",
    "prompt": "a friendly speaker",
}


class AvatarParams(BaseModel):
    """The columns of an avatar row: the same for users and stores."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, json_schema_extra={"examples": [EXAMPLE]}
    )

    image_url: str = Field(repr=False)
    audio_url: str = Field(repr=False)
    prompt: str | None = Field(default=None, repr=False)
    resolution: Resolution = "720p"
    seed: Annotated[int, Field(ge=0, le=SEED_MAX)] | None = None

    @field_validator("image_url", "audio_url")
    @classmethod
    def _check_source(cls, value: str) -> str:
        if not value.strip() or len(value) > SOURCE_CHARS_MAX:
            problem = f"has {len(value)} characters"
            raise Unusable(problem, f"give a URL or a path of at most {SOURCE_CHARS_MAX}")
        scheme = _SCHEME.match(value)
        if scheme is not None and scheme[1].lower() not in {"https", "http"}:
            problem = "is neither a URL with https:// nor a path in the bucket uploads"
            raise Unusable(problem, "upload the file and give its path, or give an https URL")
        return value

    @field_validator("prompt")
    @classmethod
    def _clean_prompt(cls, value: str | None) -> str | None:
        return limit(value) or None if value is not None else None

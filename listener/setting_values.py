"""Kinds of values that settings are written in: lists with commas, origins, JSON. Knows no variable's name."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode


def _split(value: object) -> object:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


BeforeWords = BeforeValidator(_split)
Words = Annotated[tuple[str, ...], NoDecode, BeforeWords]
"""A list written with commas."""

ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")


def _require_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("each is scheme, host and port alone, as in https://app.example")
    return origins


Origins = Annotated[Words, AfterValidator(_require_origins)]


def read_object(value: object) -> object:
    """Read JSON where it is written as a text. Raises: ValueError."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be JSON") from None


JsonObject = Annotated[dict[str, Any], NoDecode, BeforeValidator(read_object)]
"""An object written as JSON."""

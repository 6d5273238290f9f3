"""What a pack's row may ask for. Knows its fields and limits; knows no model and no storage."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from handlers.pack.character import Character, Style

IMAGES_MIN = 5
IMAGES_MAX = 10


class Snapshot(BaseModel):
    """A character as it was when the pack was ordered; what is changed later changes no pack that waits.

    `face_reference_path` is what its owner gave; `reference_path` the reference image of its first pack.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: UUID
    config: Character
    style: Style = Style()
    reference_path: str | None = Field(default=None, min_length=1, max_length=1024, repr=False)
    face_reference_path: str | None = Field(default=None, min_length=1, max_length=1024, repr=False)


class PackParams(BaseModel):
    """The columns of a pack; `character` is what the database wrote down at the insert."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    image_count: Annotated[int, Field(ge=IMAGES_MIN, le=IMAGES_MAX)]
    character: Snapshot

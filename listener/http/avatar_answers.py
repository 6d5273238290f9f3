"""What the avatars' endpoints take and answer, as pydantic models: the code builds them, the document describes them.

Knows shapes and the documents' words for states; does not know where a row or a file comes from.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from listener.http.openapi.shapes import Meta

PROMPT_CHARS = 2000
SEED_MAX = 2**63 - 1
DONE, FAILED, CANCELLED = "completed", "failed", "cancelled"

State = Literal["pending", "processing", "completed", "failed", "cancelled"]
Resolution = Literal["480p", "720p"]


class AvatarTexts(BaseModel):
    """The fields of the form that are no files."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    prompt: str | None = Field(
        None, max_length=PROMPT_CHARS, repr=False, description="How the picture moves, such as: a woman singing"
    )
    resolution: Resolution = Field("720p", description="720p: the longer side has 1280 pixels; 480p: 832")
    seed: int | None = Field(None, ge=0, le=SEED_MAX, description="The same seed again makes the same clip")


class AvatarForm(AvatarTexts):
    """The form of POST /generate."""

    image: bytes = Field(description="PNG or JPEG, at most 10 MiB", json_schema_extra={"format": "binary"})
    audio: bytes = Field(description="WAV or MP3, at most 50 MiB", json_schema_extra={"format": "binary"})


class Failure(BaseModel):
    """Why a session failed."""

    code: str
    message: str | None
    details: dict[str, Any]


class Place(BaseModel):
    """Where an open session stands. Units: seconds."""

    model_config = ConfigDict(extra="ignore")

    position: int | None = Field(description="1 starts next, 0 runs; null where nobody counts")
    ahead: int | None
    is_more_ahead: bool
    retry_in_s: int | None
    estimate_s: int | None
    reason: str | None = Field(description="Why there is no estimate")


class Avatar(BaseModel):
    """A session as it stands."""

    id: UUID
    job_id: UUID = Field(description="The same as `id`")
    status: State
    progress: int = Field(ge=0, le=100, description="Percent")
    message: str | None
    resolution: str
    seed: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    estimated_completion: datetime | None = Field(description="null where `queue.reason` says why, and at the end")
    queue: Place | None = Field(description="null at the end, or when nobody can tell now")
    error: Failure | None
    warnings: list[str] = Field(default_factory=list, description="What may come out poorly, and why")


class Clip(BaseModel):
    """The finished video. Units: duration_s is seconds, the sides are pixels."""

    id: UUID
    job_id: UUID = Field(description="The same as `id`")
    url: str = Field(repr=False)
    expires_at: datetime = Field(description="When the URLs end: after 6 hours, or with the video")
    thumbnail_url: str | None = Field(repr=False)
    kept_until: datetime | None = Field(description="When the video is removed")
    duration_s: float | None
    fps: float | None
    width: int | None
    height: int | None
    size_bytes: int | None
    content_type: str | None


class AvatarAnswer(BaseModel):
    """The answer that shows a session."""

    data: Avatar
    meta: Meta


class ClipAnswer(BaseModel):
    """The answer that shows a video."""

    data: Clip
    meta: Meta

"""What the endpoints of characters and packs take and answer, for the document.

Knows the documents' bodies, which have no envelope; checks nothing itself.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from listener.http.characters import CharacterForm
from listener.http.openapi.operation import IDEMPOTENCY_KEY, Described, Gives, Parameter, Takes, Who
from listener.http.openapi.shapes import CancelOutcome, Percent, Problem, Shape, Status

GROUP = "Characters and packs"
USER = (Who.USER,)
JOB_ID = Parameter("id", "The job's id.", schema={"type": "string", "format": "uuid"}, example="$JOB")
NAMES = ("IDEMPOTENCY_KEY_INVALID", "IDEMPOTENCY_KEY_REUSED", "SESSION_ID_USED")
Reason = Literal[
    "finished",
    "waiting_to_retry",
    "interrupted",
    "queue_too_long",
    "out_of_order",
    "paused",
    "own_limit",
    "no_worker",
    "no_measurements",
    "longer_than_usual",
]


class CharacterSaved(Shape):
    """A character as it was saved."""

    character_id: UUID
    name: str
    config: dict[str, Any]
    style: dict[str, Any]
    face_reference_path: str | None
    created_at: datetime


class Basis(Shape):
    """What an estimate rests on."""

    sessions: int
    mean_s: float
    slots: float


class Queue(Shape):
    """Where a session stands. Units: seconds."""

    status: Status
    position: int | None = Field(description="1 is the next to start, 0 runs; null when more than 1000 are ahead")
    ahead: int | None
    is_more_ahead: bool
    retry_in_s: int | None
    estimate_s: int | None = Field(description="Until its end; null with a reason when nobody can say")
    estimate_basis: Basis | None
    reason: Reason | None


class JobOrdered(Shape):
    """A pack that was ordered."""

    job_id: UUID
    status: Status
    queue: Queue | None


class Image(Shape):
    """One finished image of a pack, with URLs that are signed anew with every read."""

    id: UUID
    position: int = Field(ge=0)
    pose: str | None
    width: int | None
    height: int | None
    similarity: Annotated[float, Field(ge=0, le=1)] | None
    similarity_state: Literal["reference", "measured", "below", "not_measured"]
    seed: int | None
    url: str | None
    thumbnail_url: str | None
    expires_at: datetime


class Job(Shape):
    """A pack as it stands."""

    job_id: UUID
    character_id: UUID
    status: Status
    progress: Percent
    image_count: int
    completed_count: int
    message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    images: list[Image]
    queue: Queue | None
    error: Problem | None


class JobCancelled(CancelOutcome):
    """A pack that was cancelled, or asked to stop."""

    cancelled: Literal[True]


def create_operation(limit_bytes: int) -> Described:
    """POST /api/characters."""
    looks = {"age_range": [25, 32], "hair_color": "auburn", "outfit_style": "a linen suit"}
    return Described(
        id="createCharacter",
        summary="Save a character",
        group=GROUP,
        who=USER,
        gives={
            201: Gives("The character was saved.", CharacterSaved),
            200: Gives("It was there already.", CharacterSaved),
        },
        refuses=(*NAMES, "TOO_MANY_CHARACTERS", "INPUT_UNAVAILABLE", "INPUT_UNREACHABLE"),
        takes=Takes(CharacterForm, limit_bytes, example={"name": "Ada", "config": looks}),
        parameters=(replace(IDEMPOTENCY_KEY, example="ada"),),
        words="Nothing is generated or charged. `style.face_reference` is a picture as Base64, an https URL, or the "
        "path of an upload of the user's own.",
    )


def generate_operation(form: Any, limit_bytes: int) -> Described:
    """POST /api/generate."""
    return Described(
        id="orderPack",
        summary="Order a pack",
        group=GROUP,
        who=USER,
        gives={
            201: Gives("The pack was ordered and paid.", JobOrdered, ("Location",)),
            200: Gives("It was ordered already; nothing was paid again.", JobOrdered, ("Location",)),
        },
        refuses=(*NAMES, "CREDITS_INSUFFICIENT", "CHARACTER_NOT_FOUND", "RATE_LIMITED"),
        takes=Takes(form, limit_bytes, example={"character_id": "$CHARACTER", "image_count": 5}),
        parameters=(replace(IDEMPOTENCY_KEY, example="ada-1"),),
        words="5 to 10 images of one character, one credit each.",
    )


READ = Described(
    id="readPack",
    summary="Read a pack",
    group=GROUP,
    who=USER,
    gives={200: Gives("The pack as it stands, with every image that is there.", Job)},
    refuses=("JOB_NOT_FOUND",),
    parameters=(JOB_ID,),
)
CANCEL = Described(
    id="cancelPack",
    summary="Cancel a pack",
    group=GROUP,
    who=USER,
    gives={200: Gives("What became of it. Finished images stay.", JobCancelled)},
    refuses=("JOB_NOT_FOUND", "SESSION_FINISHED", "SESSION_NOT_FOUND"),
    parameters=(JOB_ID,),
)

"""What the answers of several endpoints have in common, as pydantic's models: the envelope, errors, a session's state.

Knows shapes for the document and its tests; the answers themselves are made where the rows are read.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model

Percent = Annotated[int, Field(ge=0, le=100)]
Status = Literal["queued", "processing", "completed", "failed", "cancelled"]


class Shape(BaseModel):
    """An answer has these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class Meta(Shape):
    """What is said of the answer itself."""

    request_id: str = Field(description="The caller's own `X-Request-Id`, else ours")


@cache
def enveloped(data: Any, name: str = "") -> type[BaseModel]:
    """The model of an answer that has its data in the envelope; of a list, `name` is said."""
    return create_model(f"{name or data.__name__}Answer", __base__=Shape, data=(data, ...), meta=(Meta, ...))


class Problem(Shape):
    """Why a request was refused, or a session failed."""

    code: str = Field(description="Stable, in capitals", pattern="^[A-Z][A-Z0-9_]*$")
    message: str = Field(description="For people; never repeats a value that was sent")
    details: dict[str, Any] = Field(description="What a program can use, such as `fields` or `retry_after_s`")


class ErrorAnswer(Shape):
    """The one shape of all refusals."""

    error: Problem


class CancelOutcome(Shape):
    """What became of the wish to cancel."""

    outcome: Literal["cancelled", "requested", "already"] = Field(
        description="A waiting one ended; a running one's worker was asked to stop; it was asked for before"
    )
    refund: Literal["all", "undelivered", "none"] | None = Field(None, description="What comes back")


class File(Shape):
    """What is known of one stored file."""

    name: str | None
    width: int | None
    height: int | None
    size_bytes: int | None
    content_type: str | None


class Artifact(File):
    """One stored file, with a URL that is signed anew with every read."""

    url: str | None = Field(description="null when the file is gone")
    expires_at: datetime | None


class ShownResult(BaseModel):
    """What came out. Each kind adds fields of its own."""

    model_config = ConfigDict(extra="allow")

    artifacts: list[Artifact]


class ListedResult(BaseModel):
    """What came out, without anything that opens it. Each kind adds fields of its own."""

    model_config = ConfigDict(extra="allow")

    artifacts: list[File]


class SessionFacts(Shape):
    """What is said of every session."""

    id: UUID
    kind: str
    status: Status
    progress: Percent
    message: str | None = Field(description="What it is doing, in a few words")
    version: int = Field(ge=0, description="Grows with every change")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    task_id: str | None = None
    request_id: str | None = None
    error: Problem | None


class ShownSession(SessionFacts):
    """A session as its owner sees it."""

    result: ShownResult | None


class ListedSession(SessionFacts):
    """A session of a list."""

    result: ListedResult | None


class SessionPage(Shape):
    """Some sessions, the newest first."""

    sessions: list[ListedSession]
    next: str | None = Field(description="The cursor to go on with; null when there are no more")


class BatchItem(Shape):
    """What became of one session of an array: as it would have been alone."""

    index: int = Field(ge=0, lt=100)
    status: int = Field(description="The status that it would have had alone")
    session: ShownSession | None = None
    error: Problem | None = None


class CancelledSession(CancelOutcome):
    """A session that was cancelled, or asked to stop."""

    id: UUID


class Credits(Shape):
    """A balance."""

    credits: int

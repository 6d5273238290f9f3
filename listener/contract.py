"""All that a handler may see: what it is given, what it may ask for, what it hands back.

Knows nothing of Supabase, HTTP, queues or torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel

from listener.artifacts import Artifact, SavedArtifact
from listener.files import Fetch, Fetched, InputKind, Inspector
from listener.generator_status import GeneratorStatus
from listener.generators import (
    IN_LINE,
    DeviceBorrower,
    DeviceLender,
    EngineConfig,
    GeneratedClip,
    GeneratedImage,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorConfig,
    GeneratorFactory,
    OnStep,
    Permit,
    PipelineConfig,
    ProviderConfig,
    RemoteGenerator,
)

__all__ = [
    "IN_LINE",
    "Artifact",
    "Context",
    "DeviceBorrower",
    "DeviceLender",
    "Endpoint",
    "EndpointConfig",
    "EndpointFactory",
    "EndpointLimits",
    "EndpointStatus",
    "EngineConfig",
    "Fetch",
    "Fetched",
    "GeneratedClip",
    "GeneratedImage",
    "Generation",
    "GenerationRequest",
    "Generator",
    "GeneratorConfig",
    "GeneratorFactory",
    "GeneratorStatus",
    "Handler",
    "HandlerConfig",
    "InputKind",
    "Inspector",
    "Log",
    "OnStep",
    "Permit",
    "PipelineConfig",
    "ProviderConfig",
    "RemoteGenerator",
    "RetryPolicy",
    "SavedArtifact",
    "Session",
]


@dataclass(frozen=True, slots=True)
class Session:
    """One paid request as an attempt sees it.

    Units: time_limit_s and the like are seconds; credits are whole credits.
    """

    id: UUID
    kind: str
    owner: UUID
    row_id: UUID
    attempt: int
    params: Mapping[str, Any]
    bucket: str
    path_prefix: str
    request_id: str
    created_at: datetime
    time_limit_s: float
    failures: int = 0
    max_attempts: int = 1


class Log(Protocol):
    """The structured logger bound to the session."""

    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class Context(Protocol):
    """A running attempt's only way to the outside."""

    log: Log

    async def progress(self, done: int, total: int, note: str = "") -> None:
        """Tell the owner how far the work is; throttled.

        Raises: Cancelled, LeaseLost, Draining: let them pass.
        """

    async def save(self, artifact: Artifact) -> SavedArtifact:
        """Upload a file, its thumbnail beside it, and record it for this attempt; the same name again replaces it."""

    async def generate(self, request: GenerationRequest, ready: int = 0, count: int | None = None) -> Generation:
        """Generate, with each step reported as progress; the prompts are judged before.

        Where its images are a part of the work: `ready` of `count` images were there before.
        """

    async def judge(self, texts: Mapping[str, str]) -> None:
        """Judge words, by field, that go elsewhere than to `generate`. Raises: ContentRejected, ModerationDown."""

    async def fetch(self, source: str, field: str = "", kind: InputKind = "picture") -> Fetched:
        """Get a file from a public https URL, or from a path in the owner's own folder of the bucket `uploads`.

        `field` is the parameter that named it, for the error. Raises: InputUnavailable, InputUnreachable, StorageDown.
        """

    async def recall(self, path: str, field: str = "") -> Fetched:
        """Get a picture that an earlier session of this owner saved, in the bucket of this kind. Raises: as `fetch`."""

    def exclusive_device(self) -> AbstractAsyncContextManager[str]:
        """Have a device, whose name is yielded, for an engine that runs as a process: gone when this is left.

        Raises: ModelUnavailable where the generator has none to lend.
        """

    def finish(self, result: Mapping[str, Any], refund_credits: int = 0) -> None:
        """Set what the row's `result` shows beside the artifacts, and how much of the price goes back; the last counts.

        Also for a session that is cancelled, if its kind's `cancel_refund` lets the owner keep what was made.
        """

    def remaining_s(self) -> float:
        """Seconds until the time limit; they stand still while a request waits in line for a device."""


class RetryPolicy(Enum):
    """What a kind does with failures that may pass."""

    PATIENT = "patient"
    """Again with growing delays, while failures are left."""
    STRICT = "strict"
    """Once more after a provider was busy or a process died; everything else fails at once."""


P = TypeVar("P", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class HandlerConfig:
    """What the settings say of a kind, by its handler's own names."""

    options: Mapping[str, Any] = field(default_factory=dict)


class Handler(Protocol[P]):
    """Serves one kind. Found by the entry-point group `listener.handlers`.

    `Params` is checked before anything is paid for in GPU time. There may be too: `retry_policy:
    ClassVar[RetryPolicy]`; a classmethod `configured(HandlerConfig) -> Handler`, which then builds it and may raise
    ConfigError; a classmethod `lacks(HandlerConfig) -> str`, why it cannot work here, asked where no kind is named;
    `parts() -> Mapping[str, Callable[[], EndpointStatus]]`, told in GET /health; `async close()`, which
    leaves no process behind; and what an `Inspector` has.
    """

    kind: ClassVar[str]
    Params: type[P]

    async def run(self, session: Session, params: P, context: Context) -> None:
        """Do the work of one attempt; return normally when it is complete."""


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """What an endpoint is built from: files by its own names, such as `size_table`, and a folder for its cache."""

    cache_dir: str
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """What an endpoint bears: requests at work, requests that may wait for them. Units: seconds, the wait included."""

    at_once: int = 4
    waiting: int = 16
    within_s: float = 30.0


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """Whether it can answer now, and if not, why in words."""

    ready: bool
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Endpoint(Protocol[P]):
    """Answers POST requests at one path with JSON, beside the sessions. Found by `listener.endpoints`.

    For the API's document it may also have, as class variables: `summary` and `group` (words), `Answer` (a pydantic
    model), `example` (a body; `$PICTURE` is the URL of a photograph), `failures` (AttemptFailures of its own).
    """

    path: ClassVar[str]
    part: ClassVar[str]  # its name in GET /health
    limits: ClassVar[EndpointLimits]
    Params: type[P]

    async def run(self, params: P, fetch: Fetch) -> Mapping[str, Any]:
        """Answer one request. Raises: AttemptFailure, which says to the caller what is wrong."""

    def status(self) -> EndpointStatus:
        """Tell whether it can answer now."""

    async def close(self) -> None:
        """Stop and leave no process behind."""


class EndpointFactory(Protocol):
    """What an entry point of the group `listener.endpoints` must be. Raises: ConfigError where it cannot work."""

    def __call__(self, config: EndpointConfig) -> Endpoint[Any]: ...

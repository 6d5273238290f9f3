"""All that a handler may see: what it is given, what it may ask for, what it hands back.

Knows nothing of Supabase, HTTP, queues or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel


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


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file the owner paid for, before it is stored."""

    name: str
    data: bytes = field(repr=False)
    content_type: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class SavedArtifact:
    """A stored artifact and a signed URL that reads it until `expires_at`."""

    name: str
    bucket: str
    path: str
    url: str = field(repr=False)
    expires_at: datetime
    size_bytes: int
    content_type: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Which diffusers pipeline serves a kind, and its defaults; None means the pipeline's own default.

    `model` is a hub id, a folder, or `embedded` for the tiny seeded weights made on this machine.
    """

    kind: str
    model: str
    pipeline_class: str | None = None
    dtype: str = "bfloat16"
    device: str = "cuda"
    steps: int | None = None
    guidance_scale: float | None = None
    width: int = 1024
    height: int = 1024
    options: Mapping[str, Any] = field(default_factory=dict)  # speed options, by the generator's own names
    batch_max: int = 8  # images drawn at once; memory decides whether it is fewer
    join_window_s: float = 0.0  # > 0: alike requests of several sessions that come within it share a batch
    warm_up: tuple[str, ...] | None = None  # sizes such as 1024x1024; None: its own size, on a GPU


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """What a generator is built from. `cache_dir` keeps what can be made again, `weights_dir` what was downloaded.

    Units: `*_s` are seconds, `*_mib` MiB.
    """

    pipelines: tuple[PipelineConfig, ...]
    cache_dir: str
    weights_dir: str | None = None
    devices: tuple[str, ...] = ()  # such as cuda:0 and cuda:1, one child each; none: each pipeline's own
    step_timeout_s: float = 60.0
    load_timeout_s: float = 1800.0
    warm_up_timeout_s: float = 600.0
    preload: tuple[str, ...] | None = None  # kinds to load before it is ready; None: all, the others at first use
    memory_budget_mib: int | None = None  # what pipelines may take together; None: nine tenths of a GPU
    recycle_after_runs: int = 0  # 0: never for its age
    recycle_growth_mib: int = 8192
    hub_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a handler asks of the generator: one image per seed.

    Units: width and height are pixels.
    """

    kind: str
    session: UUID
    prompt: str = field(repr=False)
    seeds: tuple[int, ...]
    negative_prompt: str | None = field(default=None, repr=False)
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    references: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """One decoded image.

    Shapes: rgb is height * width * 3 bytes, row by row, sRGB.
    """

    rgb: bytes = field(repr=False)
    width: int
    height: int
    seed: int


@dataclass(frozen=True, slots=True)
class Generation:
    """What a generator made and how: the values really used, and a note for each one it ignored."""

    images: tuple[GeneratedImage, ...]
    model: str
    pipeline_class: str
    device: str
    steps: int
    guidance_scale: float | None
    duration_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GeneratorStatus:
    """Whether a generator can work now, and if not, why in words."""

    ready: bool
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


OnStep = Callable[[int, int], None]
"""Called on the event loop with (steps done, steps in total)."""


class Generator(Protocol):
    """Makes images. Cancelling the task that awaits `generate` stops the work between two steps.

    Raises: from `generate`, subclasses of AttemptFailure only (and asyncio.CancelledError).
    """

    async def start(self) -> None:
        """Begin to load; returns at once, `status` tells when it is ready. Never raises for a bad model."""

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Make the images of one request."""

    def status(self) -> GeneratorStatus:
        """Tell whether it can work now."""

    async def close(self) -> None:
        """Stop and leave no process behind."""


class GeneratorFactory(Protocol):
    """What an entry point of the group `listener.generators` must be."""

    def __call__(self, config: GeneratorConfig) -> Generator: ...


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
        """Upload a file and record it for this attempt; the same name again replaces it."""

    async def generate(self, request: GenerationRequest) -> Generation:
        """Generate, with each step reported as progress; the prompts are judged before."""

    async def judge(self, texts: Mapping[str, str]) -> None:
        """Judge words, by field, that go elsewhere than to `generate`. Raises: ContentRejected, ModerationDown."""

    def finish(self, result: Mapping[str, Any]) -> None:
        """Set what the visible row's `result` shows beside the artifacts."""

    def remaining_s(self) -> float:
        """Seconds until the time limit."""


class RetryPolicy(Enum):
    """What a kind does with failures that may pass."""

    PATIENT = "patient"
    """Again with growing delays, while failures are left."""
    STRICT = "strict"
    """Once more after a provider was busy or a process died; everything else fails at once."""


P = TypeVar("P", bound=BaseModel)


class Handler(Protocol[P]):
    """Serves one kind. Found by the entry-point group `listener.handlers`.

    `Params` is checked before anything is paid for in GPU time. `retry_policy: ClassVar[RetryPolicy]` may be named too.
    """

    kind: ClassVar[str]
    Params: type[P]

    async def run(self, session: Session, params: P, context: Context) -> None:
        """Do the work of one attempt; return normally when it is complete."""

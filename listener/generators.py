"""What a generator is: what it is built from, what it is asked, what it hands back. A part of the contract.

Knows nothing of Supabase, HTTP, queues or torch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from listener.generator_status import GeneratorStatus


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
    side_max_px: int | None = None  # what is asked for larger is drawn in its own shape with this longer side


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """How a generator elsewhere is reached; `options` are by its own names.

    Units: timeout_s is seconds for the images of one request, all tries together.
    """

    model: str
    key: str = field(repr=False)
    base_url: str | None = None
    timeout_s: float = 120.0
    max_retries: int = 3  # further tries after a 5xx or when nobody could be reached
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How an engine that is a program of its own is run. Units: limit_s is seconds for one clip, all tries together."""

    command: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    steps: int = 40
    limit_s: float = 600.0
    download: bool = True  # fetch model files that are missing


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
    standby: bool | None = None  # keep a spare process that only has to load; None: for a GPU
    hub_token: str | None = field(default=None, repr=False)
    providers: Mapping[str, ProviderConfig] = field(default_factory=dict)  # by the generator's name
    engines: Mapping[str, EngineConfig] = field(default_factory=dict)  # likewise


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a handler asks of the generator: one image per seed; with `prompts`, each of its own prompt, in that order.

    Raises: ValueError when there are prompts and not one for each seed.
    Units: width and height are pixels, time_left_s is seconds until the attempt is stopped.
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
    generator: str | None = None  # which of the generators of its kind makes it; None: as configured
    time_left_s: float | None = None  # this and the next are set on the way to the generator
    session_kind: str | None = None  # `kind` names the pipeline, which a variant may change
    prompts: tuple[str, ...] = field(default=(), repr=False)  # none: `prompt` for all
    audio: bytes | None = field(default=None, repr=False)  # a WAV: asks for a clip of references[0] saying it

    def __post_init__(self) -> None:
        if self.prompts and len(self.prompts) != len(self.seeds):
            raise ValueError(f"{len(self.prompts)} prompts for {len(self.seeds)} seeds")

    @property
    def drawn_prompts(self) -> tuple[str, ...]:
        """The prompt of each image."""
        return self.prompts or (self.prompt,) * len(self.seeds)

    def apart(self) -> tuple[GenerationRequest, ...]:
        """A request for each image, for who draws one prompt at a time."""
        pairs = zip(self.seeds, self.drawn_prompts, strict=True)
        return tuple(replace(self, seeds=(seed,), prompt=prompt, prompts=()) for seed, prompt in pairs)


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
class GeneratedClip:
    """One finished video with its sound. Units: duration_s is seconds, fps frames a second."""

    mp4: bytes = field(repr=False)
    width: int
    height: int
    duration_s: float
    fps: float
    seed: int


@dataclass(frozen=True, slots=True)
class Generation:
    """What a generator made and how: the values really used, and a note for each one it ignored.

    A request with audio brings a clip and no images, every other one images.

    `device` is the provider's name where it was made elsewhere; `cost_usd` is None where nobody knows.
    """

    images: tuple[GeneratedImage, ...]
    model: str
    pipeline_class: str
    device: str
    steps: int
    guidance_scale: float | None
    duration_s: float
    notes: tuple[str, ...] = ()
    cost_usd: float | None = None
    clip: GeneratedClip | None = None


OnStep = Callable[[int, int], None]
"""Called on the event loop with (steps done, steps in total); with IN_LINE while the request waits for a device."""
IN_LINE = (0, 0)
"""What a generator calls `on_step` with when a request has to wait: until the next call, its time does not count."""


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


Permit = Callable[[GenerationRequest], Awaitable[None]]
"""Waits until one more request may be sent. Raises: ProviderBusy when that would be too late; LeaseLost."""


@runtime_checkable
class RemoteGenerator(Generator, Protocol):
    """Makes images elsewhere: before each call that begins work there it waits for a permit.

    Cancelling the task that awaits `generate` cancels that work. Raises: what lies with the provider as ProviderDown or
    ProviderMisconfigured while no image was made, so that another generator may be asked.
    """

    def limited_by(self, permit: Permit) -> None:
        """Ask this from now on."""


@runtime_checkable
class DeviceLender(Protocol):
    """A generator with a device of its own that another engine may have for a while."""

    def exclusive(self, borrower: str, /) -> AbstractAsyncContextManager[str]:
        """Wait in line, take all that is ours off a device and yield its name; afterwards all is loaded again.

        Raises: ModelUnavailable.
        """


@runtime_checkable
class DeviceBorrower(Protocol):
    """A generator whose engine is a process of its own: it takes a device from the one that has models on it."""

    def lent_by(self, lender: DeviceLender | None) -> None:
        """Borrow from this from now on; None: nobody else in this worker has a device."""

    def missing_files(self) -> tuple[str, ...]:
        """Say in words what model files it lacks, and where; asks no network."""


class GeneratorFactory(Protocol):
    """What an entry point of the group `listener.generators` must be."""

    def __call__(self, config: GeneratorConfig) -> Generator: ...

"""A generator whose provider runs jobs: begin, look until it has ended, fetch; cancel what nobody waits for any more.

Knows the life of a job; what the calls are is the provider's own module.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from handlers.providers.answers import (
    AnswerError,
    TooLargeError,
    UnreachedError,
    content_rejected,
    first_failure,
    is_moderation,
    judged,
)
from handlers.providers.forms import Asked, JobOptions, filled, ignored, refuse_sound
from handlers.providers.results import Results, pictures_in
from handlers.providers.tries import patiently
from listener.contract import (
    GeneratedImage,
    Generation,
    GenerationRequest,
    GeneratorStatus,
    OnStep,
    Permit,
    ProviderConfig,
)
from listener.errors import AttemptFailure, GenerationFailed, NothingProduced

CALL_S = 30.0
CANCEL_S = 5.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended: `output`, or `failure`, the provider's words, for judging alone. Units: busy_s is seconds."""

    output: Any = None
    failure: str | None = None
    busy_s: float | None = None


class Service(Protocol):
    """A provider's calls. Raises: AnswerError, UnreachedError, TooLargeError, TimeoutError."""

    async def begin(self, model_input: Mapping[str, Any]) -> str:
        """Begin a job; its id."""

    async def look(self, job: str) -> Ended | None:
        """How it ended; None while it has not."""

    async def cancel(self, job: str) -> None:
        """Stop it."""

    async def close(self) -> None:
        """Close the connections."""


class JobGenerator:
    """One job for every image, all at the same time."""

    def __init__(
        self,
        provider: str,
        config: ProviderConfig,
        *,
        options: JobOptions,
        service: Service,
        fields: Mapping[Asked, str],
        hosts: Sequence[str],
    ) -> None:
        self._provider = provider
        self._config = config
        self._options = options
        self._service = service
        self._names: dict[Asked, str | None] = {**fields, **options.fields}
        self._results = Results(provider, (*hosts, *options.result_hosts), config.base_url)
        self._permit: Permit | None = None

    def limited_by(self, permit: Permit) -> None:
        """Wait for this before each job."""
        self._permit = permit

    async def start(self) -> None:
        """Nothing is loaded here."""

    async def close(self) -> None:
        """Close the connections."""
        await self._results.close()
        await self._service.close()

    def status(self) -> GeneratorStatus:
        """It can always be asked."""
        details = {"provider": self._provider, "model": self._config.model}
        return GeneratorStatus(True, f"{self._provider}: {self._config.model}", details)

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Make every image. Raises: AttemptFailure."""
        refuse_sound(self._provider, request)
        began = time.monotonic()
        made: list[GeneratedImage] = []
        busy: list[float | None] = []

        async def make(one: GenerationRequest) -> GeneratedImage:
            image, busy_s = await self._one(one, *one.seeds)
            made.append(image)
            busy.append(busy_s)
            on_step(len(made), len(request.seeds))
            return image

        try:
            async with asyncio.TaskGroup() as group:
                making = [group.create_task(make(one)) for one in request.apart()]
        except ExceptionGroup as failed:
            raise first_failure(self._provider, failed, len(made)) from failed
        known_s = [one for one in busy if one is not None]
        return Generation(
            images=tuple(task.result() for task in making),
            model=self._config.model,
            pipeline_class=self._provider,
            device=self._provider,
            steps=request.steps or 0,
            guidance_scale=request.guidance_scale,
            duration_s=time.monotonic() - began,
            notes=ignored(request, self._names, self._provider),
            cost_usd=self._options.cost_usd(len(made), sum(known_s) if known_s else None),
        )

    async def _one(self, request: GenerationRequest, seed: int) -> tuple[GeneratedImage, float | None]:
        model_input = filled(request, seed, self._names, self._options.input)

        async def permitted() -> None:
            if self._permit is not None:
                await self._permit(request)

        with judged(self._provider):
            job = await patiently(
                lambda: self._service.begin(model_input),
                further=self._config.max_retries,
                within_s=CALL_S,
                before=permitted,
            )
            ended = await self._ended(job)
        if ended.failure is not None:
            raise self._failed(ended.failure)
        found = next(pictures_in(ended.output), None)
        if found is None:
            details = {"provider": self._provider, "reason": "no_image"}
            raise NothingProduced(f"{self._provider} ended without an image", details=details)
        return await self._results.image(found, seed), ended.busy_s

    async def _ended(self, job: str) -> Ended:
        """Look until it has ended; whatever ends the waiting before cancels the job, which would be paid for else."""
        ended = None
        try:
            async with asyncio.timeout(self._config.timeout_s):
                while (ended := await self._look(job)) is None:  # noqa: ASYNC110 - they tell only who asks
                    await asyncio.sleep(self._options.poll_s)
            return ended
        finally:
            if ended is None:
                await self._give_up(job)

    async def _look(self, job: str) -> Ended | None:
        further = self._config.max_retries
        try:
            return await patiently(lambda: self._service.look(job), further=further, within_s=CALL_S, begins_work=False)
        except AnswerError as answered:
            if answered.is_passing:
                raise
            return Ended(failure=answered.said)  # the job is not what it was; the key worked a moment ago

    async def _give_up(self, job: str) -> None:
        with suppress(AnswerError, UnreachedError, TooLargeError, TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                await self._service.cancel(job)

    def _failed(self, said: str) -> AttemptFailure:
        if is_moderation(said):
            return content_rejected(self._provider)
        details = {"provider": self._provider, "reason": "job_failed"}
        return GenerationFailed(f"the job failed at {self._provider}", details=details)

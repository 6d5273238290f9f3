"""The Context of one running attempt: progress, artifacts, generation, the time left.

Knows the ports; does not know how the attempt is settled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from listener.contract import (
    Artifact,
    DeviceLender,
    Fetched,
    Generation,
    GenerationRequest,
    Generator,
    InputKind,
    Log,
    SavedArtifact,
    Session,
)
from listener.engine.allowance import Allowance
from listener.engine.inputs import Inputs
from listener.engine.interruption import Interruption
from listener.engine.paths import ArtifactPaths
from listener.engine.progress import ProgressWriter, Report
from listener.engine.spending import OnCost, Spending
from listener.engine.stages import FETCH, UPLOAD, OnStage, Stages, Steps, Turn
from listener.engine.uploads import Uploads, plain, repeated
from listener.errors import (
    Cancelled,
    LeaseLost,
    ModelUnavailable,
    StorageDown,
    StorageFull,
    StorageRefused,
    StoreError,
    StoreFull,
    StoreRejected,
    StoreUnavailable,
    UrlNotSigned,
)
from listener.ports import ArtifactStore, Attempt, Clock, Moderator, Outcome, SessionStore


@dataclass(frozen=True, slots=True)
class Outside:
    """All that an attempt needs of the world. Units: signed_url_s is seconds; a price of 0 is unknown."""

    store: SessionStore
    artifacts: ArtifactStore
    inputs: Inputs
    generator: Generator
    clock: Clock
    signed_url_s: int
    progress_interval_s: float = 1.0
    moderator: Moderator | None = None
    on_stage: OnStage = lambda _kind, _stage, _duration_s: None
    on_cost: OnCost = lambda _kind, _device_s, _cost_usd: None
    device_price_per_hour_usd: float = 0.0


class AttemptContext:
    """What the handler of one attempt may do."""

    def __init__(
        self, session: Session, attempt: Attempt, outside: Outside, interruption: Interruption, log: Log
    ) -> None:
        self.log = log
        self.result: dict[str, Any] = {}
        self.refund_credits: int | None = None
        self.writer = ProgressWriter(self._write_progress, outside.clock, outside.progress_interval_s)
        self._session = session
        self._attempt = attempt
        self._outside = outside
        self._interruption = interruption
        self.allowance = Allowance(session.time_limit_s, outside.clock, interruption)
        self.stages = Stages(session.kind, outside.clock, outside.on_stage)
        self.spending = Spending(outside.device_price_per_hour_usd)
        paths = ArtifactPaths(session.path_prefix)
        self._uploads = Uploads(outside.artifacts, outside.clock, session.bucket, paths, outside.signed_url_s)
        self._judged: set[tuple[str, str]] = set()

    async def progress(self, done: int, total: int, note: str = "") -> None:
        """Take a report and stop the handler when it has to stop."""
        self._interruption.check()
        self.writer.report(Report(done, total, note))

    async def save(self, artifact: Artifact) -> SavedArtifact:
        """Upload a file under this attempt's own path, its thumbnail first, and record both at once.

        Raises: StorageDown, StorageFull, StorageRefused, UrlNotSigned; Cancelled, LeaseLost, Draining; TypeError,
            ValueError for facts not JSON.
        """
        self._interruption.check()
        self.stages.saving()
        try:
            with self.stages.stage(UPLOAD):
                saved = await self._uploads.upload(artifact)
                outcome = await repeated(lambda: self._outside.store.add_artifact(self._attempt, saved))
        except UrlNotSigned as error:
            self.log.error("artifact_not_signed", **error.details, artifact=artifact.name, error=str(error))
            raise
        except StoreFull as error:
            raise StorageFull(str(error), details={"dependency": "storage"}) from error
        except StoreUnavailable as error:
            raise StorageDown(str(error), details={"dependency": "storage"}) from error
        except StoreRejected as error:
            self.log.error("artifact_refused", bucket=self._session.bucket, artifact=artifact.name, error=str(error))
            raise StorageRefused(str(error), details={"dependency": "storage", "artifact": artifact.name}) from error
        self._obey(outcome)
        self.log.info("artifact_saved", artifact=artifact.name, path=saved.path, size_bytes=saved.size_bytes)
        return saved

    async def generate(self, request: GenerationRequest, ready: int = 0, count: int | None = None) -> Generation:
        """Generate, with every step reported as progress; the door through which every prompt goes, so judged here.

        While the request waits in line for a device, the attempt's time stands still.
        Raises: ContentRejected, ModerationDown, and what the generator raises; Cancelled, LeaseLost, Draining.
        """
        self._interruption.check()
        images = len(request.seeds)
        whole = images if count is None else count
        several = {f"prompts.{n}": prompt for n, prompt in enumerate(request.prompts)}
        await self.judge({"prompt": request.prompt, **several, "negative_prompt": request.negative_prompt or ""})

        def on_step(done: int, total: int) -> None:
            if total:
                self.writer.report(Report(ready * total + images * done, whole * total, "generating"))

        request = replace(request, time_left_s=self.remaining_s(), session_kind=self._session.kind)
        with Turn(self.allowance, self.stages, self.spending) as turn:
            generation = await self._outside.generator.generate(request, Steps(turn, on_step))
        self.spending.provider_took(generation.cost_usd)
        return generation

    @asynccontextmanager
    async def exclusive_device(self) -> AsyncIterator[str]:
        """Have a device for an engine that runs as a process of its own; yields its name. That process must be gone
        when this is left. Waiting for the device does not count as the attempt's time.

        Raises: ModelUnavailable; Cancelled, LeaseLost, Draining.
        """
        self._interruption.check()
        generator = self._outside.generator
        if not isinstance(generator, DeviceLender):
            raise ModelUnavailable("this generator has no device of its own to lend", details={"reason": "no_device"})
        with Turn(self.allowance, self.stages, self.spending) as turn:
            turn.stands()
            async with generator.exclusive(self._session.kind) as device:
                turn.goes_on()
                yield device

    async def judge(self, texts: Mapping[str, str]) -> None:
        """Have words judged, each once an attempt: the images of a pack share most of theirs.

        Raises: ContentRejected, ModerationDown; Cancelled, LeaseLost, Draining.
        """
        new = {field: text for field, text in texts.items() if text and (field, text) not in self._judged}
        if self._outside.moderator is None or not new:
            return
        await self._outside.moderator.judge(new)
        self._interruption.check()
        self._judged |= set(new.items())

    async def fetch(self, source: str, field: str = "", kind: InputKind = "picture") -> Fetched:
        """Get an input file. Only the storage is asked again: a user's server gets one try in each attempt.

        Raises: InputUnavailable, InputUnreachable, StorageDown, StorageRefused; Cancelled, LeaseLost, Draining.
        """
        inputs, owner = self._outside.inputs, self._session.owner
        return await self._read(lambda: inputs.fetch(source, owner, field, kind), field)

    async def recall(self, path: str, field: str = "") -> Fetched:
        """Get what an earlier session of this owner and kind saved. Raises: as `fetch`."""
        inputs, bucket, owner = self._outside.inputs, self._session.bucket, self._session.owner
        return await self._read(lambda: inputs.recall(bucket, path, owner, field), field)

    async def _read(self, get: Callable[[], Awaitable[Fetched]], field: str) -> Fetched:
        self._interruption.check()
        try:
            with self.stages.stage(FETCH):
                fetched = await repeated(get)
        except StoreUnavailable as error:
            raise StorageDown(str(error), details={"dependency": "storage", "field": field}) from error
        except StoreRejected as error:
            self.log.error("input_refused", field=field, error=str(error))
            raise StorageRefused(str(error), details={"dependency": "storage", "field": field}) from error
        self._interruption.check()
        self.log.info("input_fetched", field=field, size_bytes=len(fetched.data), content_type=fetched.content_type)
        return fetched

    def finish(self, result: Mapping[str, Any], refund_credits: int = 0) -> None:
        """Keep the result and the refund for the settlement.

        Raises: TypeError, ValueError for what is not JSON, and for a refund below nothing.
        """
        if refund_credits < 0:
            raise ValueError(f"a refund of {refund_credits} credits")
        self.result, self.refund_credits = plain(result), refund_credits

    def remaining_s(self) -> float:
        """Seconds until the time limit; never negative."""
        return self.allowance.left_s()

    async def _write_progress(self, report: Report) -> None:
        """One try: a lost report is no reason to stop, and the next one follows."""
        try:
            outcome = await self._outside.store.report_progress(self._attempt, report.done, report.total, report.note)
        except StoreError as error:
            self.log.warning("progress_not_written", error=str(error))
            return
        self._note(outcome)

    def _obey(self, outcome: Outcome) -> None:
        self._note(outcome)
        self._interruption.check()

    def _note(self, outcome: Outcome) -> None:
        """Turn what the store answered into an interruption."""
        if outcome.outcome == "refused":
            self._interruption.request(LeaseLost(f"the store answered {outcome.code}"))
        elif outcome.cancel_requested:
            self._interruption.request(Cancelled())

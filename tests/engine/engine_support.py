"""A store in memory with the real fence, a hand-set clock, tiny handlers and generators: for the engine's own logic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

from pydantic import BaseModel

from listener.contract import (
    Artifact,
    Context,
    Fetched,
    GeneratedImage,
    Generation,
    GenerationRequest,
    GeneratorStatus,
    OnStep,
    SavedArtifact,
    Session,
)
from listener.engine.attempt import AttemptRunner
from listener.engine.context import Outside
from listener.engine.inputs import Inputs
from listener.engine.settle import Settled, Settler
from listener.engine.slots import Running
from listener.errors import InputUnavailable, StoreUnavailable
from listener.ports import (
    Accepted,
    Attempt,
    Cost,
    Failure,
    Outcome,
    Permitted,
    Pulse,
    Registered,
    Registration,
    Swept,
    WatchedTable,
)
from listener.telemetry import log

TABLES = (WatchedTable("public", "headshot_sessions", "headshot"),)


class HandClock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at)


@dataclass
class Row:
    session: Session
    status: str = "queued"
    result: Mapping[str, Any] | None = None
    failure: Failure | None = None
    delay_s: float | None = None
    artifacts: dict[str, SavedArtifact] = field(default_factory=dict)
    progress: list[tuple[int, int, str]] = field(default_factory=list)
    cancel_requested: bool = False
    settled_as: str = ""
    refund_credits: int | None = None
    cost: Cost | None = None


class MemoryStore:
    """Sessions in a dict. `faults[call]` is raised before the call, `lost[call]` after it took effect."""

    def __init__(self) -> None:
        self.rows: dict[UUID, Row] = {}
        self.claims: dict[UUID, list[Session]] = {}
        self.calls: list[str] = []
        self.faults: dict[str, list[Exception]] = {}
        self.lost: dict[str, int] = {}
        self.holds: dict[str, asyncio.Event] = {}
        self.entered: dict[str, asyncio.Event] = {}
        self.claim_ids: list[UUID] = []
        self.limits: list[int] = []
        self.heartbeats: list[tuple[list[Attempt], list[UUID]]] = []
        self.states: list[str | None] = []
        self.pulse = Pulse(tables=TABLES)
        self.swept = Swept()

    def add(self, **fields: Any) -> Session:
        session = a_session(**fields)
        self.rows[session.id] = Row(session)
        return session

    async def register(self, registration: Registration) -> Registered:
        await self._enter("register")
        return Registered(1, registration.lease_s, TABLES)

    async def heartbeat(
        self, running: Sequence[Attempt], open_claims: Sequence[UUID], state: str | None = None
    ) -> Pulse:
        self.heartbeats.append((list(running), list(open_claims)))
        self.states.append(state)
        await self._enter("heartbeat")
        return self.pulse

    async def claim(self, claim_id: UUID, kinds: Sequence[str], limit: int) -> list[Session]:
        self.claim_ids.append(claim_id)
        self.limits.append(limit)
        due = self.claims.get(claim_id) or self._take(kinds, limit)
        self.claims[claim_id] = due
        await self._enter("claim")
        return due

    def _take(self, kinds: Sequence[str], limit: int) -> list[Session]:
        due = [row for row in self.rows.values() if row.status == "queued" and row.session.kind in kinds][:limit]
        for row in due:
            row.status = "processing"
        return [row.session for row in due]

    async def report_progress(self, attempt: Attempt, done: int, total: int, note: str) -> Outcome:
        await self._enter("report_progress")
        outcome = self._fence(attempt)
        if outcome.outcome == "applied":
            self.rows[attempt.session].progress.append((done, total, note))
        return outcome

    async def add_artifact(self, attempt: Attempt, artifact: SavedArtifact) -> Outcome:
        outcome = self._fence(attempt)
        if outcome.outcome == "applied":
            self.rows[attempt.session].artifacts[artifact.name] = artifact
        await self._enter("add_artifact")
        return outcome

    async def complete(
        self, attempt: Attempt, result: Mapping[str, Any], refund_credits: int = 0, cost: Cost | None = None
    ) -> Outcome:
        fields = {"result": result, "refund_credits": refund_credits, "cost": cost}
        return await self._settle("complete", attempt, "completed", **fields)

    async def fail(self, attempt: Attempt, failure: Failure, cost: Cost | None = None) -> Outcome:
        return await self._settle("fail", attempt, "failed", failure=failure, cost=cost)

    async def cancel(
        self,
        attempt: Attempt,
        result: Mapping[str, Any] | None = None,
        refund_credits: int | None = None,
        cost: Cost | None = None,
    ) -> Outcome:
        fields = {"result": result, "refund_credits": refund_credits, "cost": cost}
        return await self._settle("cancel", attempt, "cancelled", **fields)

    async def retry(self, attempt: Attempt, failure: Failure, delay_s: float, cost: Cost | None = None) -> Outcome:
        return await self._settle("retry", attempt, "queued", failure=failure, delay_s=delay_s, cost=cost)

    async def release(self, attempt: Attempt, cost: Cost | None = None) -> Outcome:
        return await self._settle("release", attempt, "queued", cost=cost)

    async def requested_cancels(self) -> list[UUID]:
        await self._enter("requested_cancels")
        return [row.session.id for row in self.rows.values() if row.cancel_requested and row.status == "processing"]

    async def sweep(self) -> Swept:
        await self._enter("sweep")
        return self.swept

    async def acquire_permits(self, kind: str, count: int) -> Permitted:
        await self._enter("acquire_permits")
        return Permitted(known=True, granted=count)

    async def _settle(self, call: str, attempt: Attempt, status: str, **fields: Any) -> Outcome:
        row = self.rows[attempt.session]
        outcome = self._fence(attempt)
        if row.settled_as == f"{call}.{attempt.attempt}":
            outcome = Outcome(attempt.session, attempt.attempt, "already")
        if outcome.outcome == "applied":
            row.status, row.settled_as = status, f"{call}.{attempt.attempt}"
            for name, value in fields.items():
                setattr(row, name, value)
        await self._enter(call)
        return outcome

    def _fence(self, attempt: Attempt) -> Outcome:
        row = self.rows[attempt.session]
        if row.status != "processing" or row.session.attempt != attempt.attempt:
            return Outcome(attempt.session, attempt.attempt, "refused", "SL001")
        return Outcome(attempt.session, attempt.attempt, "applied", cancel_requested=row.cancel_requested)

    async def _enter(self, call: str) -> None:
        self.calls.append(call)
        self.entered.setdefault(call, asyncio.Event()).set()
        if (hold := self.holds.get(call)) is not None:
            await hold.wait()
        if self.lost.get(call, 0) > 0:
            self.lost[call] -= 1
            raise StoreUnavailable("the answer was lost")
        if self.faults.get(call):
            raise self.faults[call].pop(0)


class MemoryObjects:
    """An ArtifactStore in a dict."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.asked: list[Accepted] = []
        self.faults: list[Exception] = []

    async def put(self, bucket: str, path: str, data: bytes, content_type: str) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.objects[bucket, path] = (data, content_type)

    async def sign(self, bucket: str, path: str, valid_s: int) -> str:
        return f"https://storage.test/{bucket}/{path}?valid={valid_s}"

    async def get(self, bucket: str, path: str, accepted: Accepted) -> Fetched:
        if self.faults:
            raise self.faults.pop(0)
        self.asked.append(accepted)
        if (bucket, path) not in self.objects:
            raise InputUnavailable("no such object")
        return Fetched(*self.objects[bucket, path])


class MemoryPages:
    """A Fetcher over a dict of URLs."""

    def __init__(self) -> None:
        self.pages: dict[str, Fetched] = {}
        self.asked: list[Accepted] = []
        self.faults: list[Exception] = []

    async def fetch(self, url: str, accepted: Accepted) -> Fetched:
        if self.faults:
            raise self.faults.pop(0)
        self.asked.append(accepted)
        return self.pages[url]


class TinyGenerator:
    """Makes one grey pixel in `steps` steps; `pause` holds it before the last one."""

    def __init__(self, steps: int = 4) -> None:
        self.steps = steps
        self.pause: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.state = GeneratorStatus(True, "loaded")

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def status(self) -> GeneratorStatus:
        return self.state

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        for done in range(1, self.steps + 1):
            on_step(done, self.steps)
            self.reached.set()
            if self.pause is not None:
                await self.pause.wait()
        image = GeneratedImage(b"\x80" * 3, 1, 1, request.seeds[0])
        return Generation((image,), "tiny", "TinyPipeline", "cpu", self.steps, None, 0.0)


class PortraitParams(BaseModel):
    prompt: str
    width: int = 64


Act = Callable[[Session, PortraitParams, Context], Any]


class TestHandler:
    """Runs what the test gives it."""

    __test__ = False
    kind: ClassVar[str] = "headshot"
    Params = PortraitParams

    def __init__(self, act: Act | None = None) -> None:
        self.act = act or make_portrait

    async def run(self, session: Session, params: PortraitParams, context: Context) -> None:
        await self.act(session, params, context)


async def make_portrait(session: Session, params: PortraitParams, context: Context) -> None:
    """What a real handler does, in small."""
    made = await context.generate(GenerationRequest("headshot", session.id, params.prompt, (7,)))
    await context.save(Artifact("image.png", made.images[0].rgb, "image/png", 1, 1))
    context.finish({"model": made.model})


def a_session(**fields: Any) -> Session:
    owner, row_id = uuid4(), uuid4()
    attempt = fields.get("attempt", 1)
    values: dict[str, Any] = {
        "id": uuid4(),
        "kind": "headshot",
        "owner": owner,
        "row_id": row_id,
        "attempt": attempt,
        "params": {"prompt": "a calm portrait"},
        "bucket": "headshots",
        "path_prefix": f"{owner}/{row_id}" + (f".{attempt}" if attempt > 1 else ""),
        "request_id": "request-1",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "time_limit_s": 60.0,
    }
    return Session(**(values | fields))


@dataclass
class Bench:
    """One runner on in-memory ports."""

    store: MemoryStore = field(default_factory=MemoryStore)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    pages: MemoryPages = field(default_factory=MemoryPages)
    generator: TinyGenerator = field(default_factory=TinyGenerator)
    clock: HandClock = field(default_factory=HandClock)
    patience_s: float = 5.0
    on_stage: Callable[[str, str, float], object] = lambda *_: None
    on_cost: Callable[[str, float | None, float | None], object] = lambda *_: None
    price_per_hour_usd: float = 0.0

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.pages, self.objects)

    async def attempt(
        self, act: Act | None = None, running: Running | None = None, **fields: Any
    ) -> tuple[Row, Settled]:
        """Claim one session and run it to its settlement."""
        session = self.store.add(**fields)
        row = self.store.rows[session.id]
        row.status = "processing"
        running = running or running_of(session)
        running.attempt = Attempt(session.id, session.attempt)
        outside = Outside(
            self.store,
            self.objects,
            self.inputs,
            self.generator,
            self.clock,
            3600,
            0.0,
            None,
            self.on_stage,
            self.on_cost,
            self.price_per_hour_usd,
        )
        runner = AttemptRunner({"headshot": TestHandler(act)}, outside, Settler(self.store, self.patience_s))
        with log.attempt(session):
            return row, await runner.run(session, running, log.get("test"))


def running_of(session: Session) -> Running:
    return Running(Attempt(session.id, session.attempt), session.kind)

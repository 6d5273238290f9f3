"""All that the engine asks of the world; adapters/ and sources/ implement it. Knows nothing of Supabase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from listener.contract import Fetched, SavedArtifact, Session


@dataclass(frozen=True, slots=True)
class Attempt:
    """The pair that fences every write: a session and the number of its attempt."""

    session: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the store answered for one (session, attempt).

    `refused` carries one of the codes SL001 lease_lost, SL002 session_unknown, SL003 transition_refused.
    """

    session: UUID
    attempt: int
    outcome: Literal["applied", "already", "refused"]
    code: str | None = None
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True)
class WatchedTable:
    """A visible table whose inserts are sessions of a kind."""

    schema: str
    table: str
    kind: str


@dataclass(frozen=True, slots=True)
class Registered:
    """What the store answers to a worker that introduced itself. Units: lease_s is seconds."""

    schema_version: int
    lease_s: float
    tables: tuple[WatchedTable, ...] = ()
    oldest_worker: int = 1


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a heartbeat brings back: sessions to cancel, and attempts that are no longer ours.

    `known` is false when the store does not know the worker (any more): it has to register again.
    `promoted` counts delayed sessions that became due.
    `oldest_worker` is the oldest worker that the schema serves, by the schema version it was built for.
    """

    cancel: tuple[UUID, ...] = ()
    lost: tuple[Attempt, ...] = ()
    known: bool = True
    tables: tuple[WatchedTable, ...] = ()
    promoted: int = 0
    schema_version: int | None = None
    oldest_worker: int = 1


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did."""

    rescued: int = 0
    failed: int = 0
    promoted: int = 0


@dataclass(frozen=True, slots=True)
class Permitted:
    """How many requests to a provider may be sent now; `known` is false when the worker's lease has run out."""

    known: bool
    granted: int
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """How a worker introduces itself. Units: lease_s is seconds."""

    worker: UUID
    name: str
    kinds: tuple[str, ...]
    slots: int
    version: str
    lease_s: float
    devices: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt ended badly, as the row shows it."""

    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What an attempt came to; None where nobody knows. Units: device_s is seconds of devices of our own."""

    device_s: float | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an input file may be. Units: within_s is seconds from asking to the last byte; None: as usual."""

    size_max_bytes: int
    content_types: frozenset[str]
    within_s: float | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """How the other side answered a message: its status, or None and the problem; `is_final`: never try again.

    Units: retry_after_s is seconds, as the other side asked.
    """

    status: int | None
    problem: str = ""
    is_final: bool = False
    retry_after_s: float | None = None


class SessionStore(Protocol):
    """The worker RPCs; what an attempt came to is told with its settlement.

    Raises: StoreUnavailable (call again), StoreRejected (do not).
    """

    async def register(self, registration: Registration) -> Registered: ...
    async def heartbeat(
        self, running: Sequence[Attempt], open_claims: Sequence[UUID], state: str | None = None
    ) -> Pulse: ...
    async def claim(self, claim_id: UUID, kinds: Sequence[str], limit: int) -> list[Session]: ...
    async def report_progress(self, attempt: Attempt, done: int, total: int, note: str) -> Outcome: ...
    async def add_artifact(self, attempt: Attempt, artifact: SavedArtifact) -> Outcome: ...
    async def complete(
        self, attempt: Attempt, result: Mapping[str, Any], refund_credits: int = 0, cost: Cost | None = None
    ) -> Outcome: ...
    async def fail(self, attempt: Attempt, failure: Failure, cost: Cost | None = None) -> Outcome: ...
    async def cancel(
        self, attempt: Attempt, result: Mapping[str, Any], refund_credits: int | None, cost: Cost | None = None
    ) -> Outcome: ...
    async def retry(self, attempt: Attempt, failure: Failure, delay_s: float, cost: Cost | None = None) -> Outcome: ...
    async def release(self, attempt: Attempt, cost: Cost | None = None) -> Outcome: ...
    async def requested_cancels(self) -> Sequence[UUID]: ...
    async def sweep(self) -> Swept: ...
    async def acquire_permits(self, kind: str, count: int) -> Permitted: ...


class ArtifactStore(Protocol):
    """Where artifacts lie. Raises: StoreUnavailable, StoreRejected."""

    async def put(self, bucket: str, path: str, data: bytes, content_type: str) -> None:
        """Write one object; the same path again replaces it."""

    async def sign(self, bucket: str, path: str, valid_s: int) -> str:
        """Make a URL that reads the object for `valid_s` seconds."""

    async def get(self, bucket: str, path: str, accepted: Accepted) -> Fetched:
        """Read one object. Raises: InputUnavailable too, for one that is not there or not accepted."""


class Fetcher(Protocol):
    """Fetches files from addresses that users name."""

    async def fetch(self, url: str, accepted: Accepted) -> Fetched:
        """Get one file. Raises: InputUnavailable, InputUnreachable."""


class Poster(Protocol):
    """Sends messages to addresses that partners name."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Posted:
        """Send one message. Raises nothing for what the other side does."""


class Moderator(Protocol):
    """Judges people's words before anything is made of them."""

    async def judge(self, texts: Mapping[str, str]) -> None:
        """Judge the texts of one request, by field.

        Raises: ContentRejected; ModerationDown when nobody could judge and that is not to be let pass.
        """

    async def close(self) -> None:
        """Let go of connections."""


class WakeUpSource(Protocol):
    """Something that says when to look. It carries no data."""

    name: str

    async def run(self, wake: Callable[[str], None]) -> None:
        """Call `wake(reason)` whenever something may be claimable; runs until cancelled."""

    def fresh(self) -> bool:
        """Whether it is known to work at this moment."""


class Clock(Protocol):
    """Time. `monotonic` for intervals, `now` for what people read."""

    def monotonic(self) -> float: ...
    def now(self) -> datetime: ...

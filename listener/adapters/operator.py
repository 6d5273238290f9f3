"""What an operator asks of a project with its service key: grants, ledgers, the state of the queue.

Knows names and shapes of these RPCs; does not know how their answers are shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, RootModel, TypeAdapter
from supabase import AsyncClient

from listener.adapters.failures import translated
from listener.adapters.stores import Stores
from listener.adapters.supabase_clients import open_clients
from listener.errors import StoreRejected

KEY_WAS_USED = "SL003"


class GrantAnswer(BaseModel):
    """What grant_credits answers; `refused` stands for a key that was used for another grant."""

    outcome: Literal["applied", "already", "refused"]
    balance: int = 0


class LedgerEntry(BaseModel):
    """One row of account_ledger. Units: amount and balance are whole credits."""

    at: datetime
    entry: str
    amount: int
    balance: int
    key: str
    session: UUID | None
    reason: str


class WorkerStatus(BaseModel):
    """A worker that is alive; its state is what it said last, None: nothing yet. Units: lease_left_s is seconds."""

    name: str
    kinds: list[str]
    slots: int
    running: int
    version: str
    started_at: datetime
    lease_left_s: int
    state: str | None = None


class KindStatus(BaseModel):
    """The open sessions of a kind. Units: oldest_wait_s is seconds."""

    kind: str
    queued: int
    delayed: int
    processing: int
    oldest_wait_s: int


class KindLevels(BaseModel):
    """How sessions of a kind ended lately. Units: success is 0 to 1; *_s are seconds since the insert."""

    kind: str
    completed: int
    failed: int
    success: float
    wait_p95_s: float | None
    done_p50_s: float | None
    done_p95_s: float | None
    first_p95_s: float | None


class BrokenTable(BaseModel):
    """A table whose rows can no longer be written."""

    table: str
    reason: str


class ServiceStatus(BaseModel):
    """What service_status answers."""

    schema_version: int
    workers: list[WorkerStatus]
    kinds: list[KindStatus]
    broken_tables: list[BrokenTable]


class FailureCount(BaseModel):
    """How often a code ended sessions of a kind."""

    kind: str
    code: str
    count: int
    last_at: datetime


class FailedSession(BaseModel):
    """A session that failed for good, as its row shows it."""

    finished_at: datetime
    kind: str
    code: str
    message: str | None
    details: dict[str, Any] | None
    request_id: str
    row_id: UUID
    attempt: int


class RecentFailures(BaseModel):
    """What recent_failures answers."""

    counts: list[FailureCount]
    failures: list[FailedSession]


class DayCost(BaseModel):
    """What sessions of a kind came to that ended on a UTC day; None: nobody knew. Units: device_s is seconds."""

    day: date
    kind: str
    owner: UUID | None
    sessions: int
    device_s: float | None
    cost_usd: float | None


class DayCosts(RootModel[list[DayCost]]):
    """What cost_report answers, the newest day first."""


class ShutOut(BaseModel):
    """A role that may read a published table without USAGE on its schema."""

    role: str
    table: str


class SurveyedTable(BaseModel):
    """A watched table."""

    table: str
    kind: str
    broken: str | None
    is_published: bool


class Survey(BaseModel):
    """What survey_project answers."""

    role: str
    now: datetime
    schema_version: int
    oldest_worker: int
    not_granted: list[str]
    open_to_strangers: list[str]
    publication: bool
    canary: bool
    shut_out: list[ShutOut]
    tables: list[SurveyedTable]
    buckets: list[str]


_ENTRIES = TypeAdapter(list[LedgerEntry])
_LEVELS = TypeAdapter(list[KindLevels])


class Operator:
    """The operators' RPCs. Raises: StoreUnavailable (call again), StoreRejected (do not)."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.stores = Stores(client)

    async def grant(self, owner: UUID, amount: int, key: str, reason: str) -> GrantAnswer:
        """Give an owner credits, once per key."""
        try:
            with translated("grant_credits"):
                answer = await self._call(
                    "grant_credits", p_owner=str(owner), p_amount=amount, p_key=key, p_reason=reason
                )
                return GrantAnswer.model_validate(answer)
        except StoreRejected as error:
            if error.details.get("code") == KEY_WAS_USED:
                return GrantAnswer(outcome="refused")
            raise

    async def ledger(self, owner: UUID, limit: int) -> list[LedgerEntry]:
        """The newest entries of an owner, newest first."""
        with translated("account_ledger"):
            return _ENTRIES.validate_python(await self._call("account_ledger", p_owner=str(owner), p_limit=limit))

    async def status(self) -> ServiceStatus:
        """Workers that are alive, and what waits for them."""
        with translated("service_status"):
            return ServiceStatus.model_validate(await self._call("service_status"))

    async def levels(self, hours: int) -> list[KindLevels]:
        """How sessions ended lately, and how long their owners waited."""
        with translated("service_levels"):
            return _LEVELS.validate_python(await self._call("service_levels", p_hours=hours))

    async def failures(self, hours: float, limit: int) -> RecentFailures:
        """What failed for good lately."""
        with translated("recent_failures"):
            return RecentFailures.model_validate(await self._call("recent_failures", p_hours=hours, p_limit=limit))

    async def costs(self, days: int, *, by_owner: bool) -> DayCosts:
        """What the last days came to."""
        with translated("cost_report"):
            return DayCosts.model_validate(await self._call("cost_report", p_days=days, p_by_owner=by_owner))

    async def survey(self) -> Survey:
        """Look for what would stop a worker."""
        with translated("survey_project"):
            return Survey.model_validate(await self._call("survey_project"))

    async def buckets(self) -> dict[str, bool]:
        """The buckets by name, and whether each is public."""
        with translated("list buckets"):
            return {bucket.id: bucket.public for bucket in await self._client.storage.list_buckets()}

    async def _call(self, function: str, **arguments: Any) -> Any:
        return (await self._client.rpc(function, arguments).execute()).data


@asynccontextmanager
async def open_operator(url: str, key: str) -> AsyncIterator[Operator]:
    """Open the connection; closed at the end of the block."""
    async with open_clients(url, key, 1) as clients:
        yield Operator(clients.calls)

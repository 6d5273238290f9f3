"""The shape of what the worker RPCs answer; unknown keys are ignored, so that new SQL and old workers run together."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, TypeAdapter

from listener.contract import Session
from listener.ports import Attempt, Outcome, Permitted, Pulse, Registered, Swept, WatchedTable


def _text(value: object) -> object:
    return "" if value is None else value


class ClaimedAnswer(BaseModel):
    """One row of claim_sessions."""

    session: UUID
    attempt: int
    kind: str
    owner: UUID
    row_id: UUID
    params: dict[str, Any]
    bucket: Annotated[str, BeforeValidator(_text)]
    path_prefix: Annotated[str, BeforeValidator(_text)]
    request_id: Annotated[str, BeforeValidator(_text)]
    time_limit_s: float
    failures: int
    max_attempts: int
    created_at: datetime

    def session_of(self) -> Session:
        """As the engine knows it."""
        fields = self.model_dump()
        return Session(id=fields.pop("session"), **fields)


class OutcomeAnswer(BaseModel):
    """One row of any call that takes fenced items."""

    session: UUID
    attempt: int
    outcome: Literal["applied", "already", "refused"]
    code: str | None = None
    cancel_requested: bool | None = False

    def outcome_of(self) -> Outcome:
        """As the engine knows it."""
        return Outcome(self.session, self.attempt, self.outcome, self.code, bool(self.cancel_requested))


class FenceAnswer(BaseModel):
    """A session and the number of an attempt."""

    session: UUID
    attempt: int


class RegisteredAnswer(BaseModel):
    """What register_worker answers."""

    schema_version: int
    lease_s: float
    tables: list[dict[str, str]] = []
    oldest_worker: int = 1

    def registered(self) -> Registered:
        """As the engine knows it."""
        return Registered(self.schema_version, self.lease_s, tables_of(self.tables), self.oldest_worker)


class PulseAnswer(BaseModel):
    """What heartbeat answers."""

    known: bool
    cancel: list[UUID] = []
    lost: list[FenceAnswer] = []
    tables: list[dict[str, str]] = []
    promoted: int = 0
    schema_version: int | None = None
    oldest_worker: int = 1

    def pulse(self) -> Pulse:
        """As the engine knows it."""
        lost = tuple(Attempt(one.session, one.attempt) for one in self.lost)
        return Pulse(
            tuple(self.cancel),
            lost,
            self.known,
            tables_of(self.tables),
            self.promoted,
            self.schema_version,
            self.oldest_worker,
        )


class SweptAnswer(BaseModel):
    """What sweep_sessions answers."""

    rescued: int = 0
    failed: int = 0
    promoted: int = 0

    def swept(self) -> Swept:
        """As the engine knows it."""
        return Swept(self.rescued, self.failed, self.promoted)


class PermittedAnswer(BaseModel):
    """What acquire_permits answers."""

    known: bool
    granted: int
    retry_after_s: float | None = None

    def permitted(self) -> Permitted:
        """As the engine knows it."""
        return Permitted(self.known, self.granted, self.retry_after_s)


CLAIMED = TypeAdapter(list[ClaimedAnswer])
OUTCOMES = TypeAdapter(list[OutcomeAnswer])
SESSIONS = TypeAdapter(list[UUID])


def tables_of(rows: list[dict[str, str]]) -> tuple[WatchedTable, ...]:
    """The watched tables, in one order, so that two answers can be compared."""
    tables = (WatchedTable(row.get("schema", "public"), row["table"], row["kind"]) for row in rows)
    return tuple(sorted(tables, key=lambda table: (table.schema, table.table)))

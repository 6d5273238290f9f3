"""What a RunPod job asks of the worker, and what it answers: drain the queue, finish one session, or make one.

Lives on the daemon's loop. Knows job inputs and rows; does not know RunPod's client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from listener.adapters.desk import SupabaseDesk
from listener.adapters.supabase_clients import Clients
from listener.api import Caller, OwnedTable
from listener.app import Daemon
from listener.engine.clock import SystemClock
from listener.engine.shift import Shift
from listener.http.intake import Intake
from listener.http.refusal import Refused
from listener.http.shown import Showing, state_of
from listener.http.submissions import invalid_params, problem, submission
from listener.ports import ArtifactStore
from listener.settings import Settings

LOOK_S = 0.2
ROW_S = 1.0
LAST_S = 15.0
"""Before the endpoint's limit: enough to give back what runs and to answer."""
HEADSHOT = "headshot"
OWNERS = ("user_id", "store_id")
SESSION = "session_id"
DRAIN = "drain"
TERMINAL = frozenset({"completed", "failed", "cancelled"})

Answer = dict[str, Any]
OnProgress = Callable[[Answer], None]


@dataclass(frozen=True, slots=True)
class Worker:
    """The daemon that a job puts to work."""

    daemon: Daemon
    shift: Shift


class Jobs:
    """Serves one job after the other, or several at once."""

    def __init__(self, worker: Worker, clients: Clients, artifacts: ArtifactStore, settings: Settings) -> None:
        self._worker = worker
        self._settings = settings
        self._params = worker.daemon.params
        clock = SystemClock()
        self._desk = SupabaseDesk(clients, clock)
        self._showing = Showing(artifacts, clock, settings.signed_url_s)

    async def serve(self, job_id: str | None, asked: object, on_progress: OnProgress) -> Answer:
        """Do what the job asks. Raises: Refused, in words for its sender; StoreError."""
        given = _object(asked)
        limit_s = self._settings.serverless_limit_s
        with self._worker.shift.order() as leave:
            working = asyncio.timeout(max(limit_s - LAST_S, limit_s / 2))
            try:
                async with working:
                    if SESSION in given:
                        return await self._finish(_session_id(given), on_progress)
                    if set(given) <= {DRAIN}:
                        return await self._drain(given.get(DRAIN, True))
                    return await self._make(given, job_id, on_progress)
            except TimeoutError:
                if not working.expired():
                    raise
                leave()
                self._worker.daemon.give_back()
                message = (
                    f"Not finished within {limit_s:g} s; the session is in the queue and goes on with the next job."
                )
                raise Refused(504, "NOT_FINISHED", message, None, remedy="send the same job again") from None

    async def _drain(self, wanted: object) -> Answer:
        """Work until there has been nothing to do for a while."""
        if wanted is not True:
            raise invalid_params([problem(DRAIN, "literal_error", "is not true", "give true, or leave it out")])
        daemon, shift, clock = self._worker.daemon, self._worker.shift, asyncio.get_running_loop().time
        before, looks, quiet_since = daemon.settled(), shift.looks, clock()
        while clock() - quiet_since < self._settings.serverless_idle_s or shift.looks == looks:
            self._require_work_going_on()
            await asyncio.sleep(LOOK_S)
            if daemon.running or shift.looks == looks:
                quiet_since = clock()
        counts = {outcome: count - before.get(outcome, 0) for outcome, count in daemon.settled().items()}
        return {"status": "drained", "sessions": {outcome: count for outcome, count in counts.items() if count}}

    async def _finish(self, row_id: UUID, on_progress: OnProgress) -> Answer:
        """Work until this session has ended."""
        shown: object = None
        while True:
            found = await self._desk.find(row_id)
            if found is None:
                text = "is the id of no session"
                raise invalid_params([problem(SESSION, "unknown", text, "give the id of a session row")])
            table, row = found
            if table.kind not in self._params:
                text = f"is a session of kind {table.kind}, which this worker does not serve"
                raise invalid_params([problem(SESSION, "kind_not_served", text, "send it to an endpoint that does")])
            status = state_of(table, row, "status")
            if status in TERMINAL:
                return await self._ended(table, row)
            progress = {name: state_of(table, row, name) for name in ("status", "progress", "message")}
            if progress != shown:
                shown = progress
                on_progress({SESSION: str(row_id), **progress})
            self._require_work_going_on()
            await asyncio.sleep(ROW_S)

    async def _make(self, given: Mapping[str, Any], job_id: str | None, on_progress: OnProgress) -> Answer:
        """Insert a session for its owner, who pays, and finish it. The same job again is the same session."""
        fields = {name: value for name, value in given.items() if name != "kind"}
        caller, table = await self._place(given)
        key = f"runpod:{job_id}" if job_id else None
        one = submission(fields, table, caller, key, self._params[table.kind])
        (taken,) = await Intake(self._desk).take(table, caller, [one], job_id or "")
        if taken.refused is not None:
            raise taken.refused
        return await self._finish(UUID(str(taken.row[table.id_column])), on_progress)

    async def _place(self, given: Mapping[str, Any]) -> tuple[Caller, OwnedTable]:
        """Whose session it will be, and in which table."""
        named = [name for name in OWNERS if name in given]
        if len(named) != 1:
            text = "is missing" if not named else "stands beside store_id"
            raise invalid_params([problem("user_id", "missing", text, "give the id of the user who pays, a UUID")])
        caller = Caller(_uuid(given, named[0]), named[0])
        kind = given.get("kind", HEADSHOT)
        tables = [one for one in await self._desk.tables() if one.owner_column == caller.owner_column]
        table = next((one for one in tables if one.kind == kind), None)
        if table is None or table.kind not in self._params:
            known = ", ".join(sorted({one.kind for one in tables} & set(self._params)))
            raise invalid_params([problem("kind", "kind_not_served", "is not served here", f"give one of {known}")])
        return caller, table

    async def _ended(self, table: OwnedTable, row: Mapping[str, Any]) -> Answer:
        """What a caller of the HTTP API would read, and beside it what a headshot's caller reads first."""
        shown = await self._showing.session(table, row)
        if shown["error"] is not None:
            refused = Refused(500, shown["error"]["code"], shown["error"]["message"] or "", None)
            refused.details = {**shown["error"]["details"], SESSION: str(shown["id"])}
            raise refused
        result = shown["result"] or {}
        first = {"image_url": result.get("image_url"), "processing_time": result.get("processing_time_s")}
        return {"status": shown["status"], SESSION: str(shown["id"]), **first, "result": result}

    def _require_work_going_on(self) -> None:
        if self._worker.daemon.is_draining:
            raise stopping()


def stopping() -> Refused:
    """What a job hears whose worker is told to stop."""
    message = "The worker stops; what it had not finished is in the queue again."
    return Refused(503, "DRAINING", message, None, remedy="send the same job again")


def error_of(refused: Refused) -> Answer:
    """A refusal as the documents ask for errors: what kind, in words, what exactly, when."""
    return {
        "type": refused.code,
        "message": refused.message,
        "details": refused.details,
        "timestamp": datetime.now(UTC).isoformat(),
    }


def _object(asked: object) -> dict[str, Any]:
    if asked is None:
        return {}
    if not isinstance(asked, dict) or not all(isinstance(name, str) for name in asked):
        raise invalid_params(
            [problem("input", "dict_type", "is not an object", 'give an object such as {"drain": true}')]
        )
    return asked


def _session_id(given: Mapping[str, Any]) -> UUID:
    if others := sorted(set(given) - {SESSION}):
        text = "is not taken beside session_id"
        raise invalid_params([problem(name, "extra_forbidden", text, "leave this field out") for name in others])
    return _uuid(given, SESSION)


def _uuid(given: Mapping[str, Any], name: str) -> UUID:
    try:
        return UUID(str(given[name]))
    except ValueError:
        raise invalid_params(
            [problem(name, "uuid_parsing", "is no UUID", "give the id as the database has it")]
        ) from None

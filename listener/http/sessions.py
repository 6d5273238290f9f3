"""POST /api/sessions/{kind} and what follows it: a thin view of session rows for whoever holds a credential.

Knows requests and answers; inserts, reads and cancels rows through the desk, and never generates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web
from pydantic import BaseModel

from listener.api import Caller, OwnedTable, SessionDesk
from listener.http.body import parsed_json, read_body, require_json
from listener.http.callers import Callers
from listener.http.guarded import guarded
from listener.http.intake import TASK, Intake, Taken
from listener.http.openapi.operation import described
from listener.http.refusal import Refused
from listener.http.server import REQUEST_ID
from listener.http.session_forms import BODY_BYTES, CANCEL, CREDITS, MOST_SESSIONS, READ, SUBMIT
from listener.http.shown import Showing
from listener.http.store_refusals import session_unknown
from listener.http.submissions import ID_FIELDS, KEY, Submission, idempotency_key, named, session_id, submission


class SessionsApi:
    """The endpoints of sessions and credits."""

    def __init__(
        self, callers: Callers, desk: SessionDesk, showing: Showing, params: Mapping[str, type[BaseModel]]
    ) -> None:
        self._callers = callers
        self._desk = desk
        self._showing = showing
        self._params = params
        self._intake = Intake(desk)

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes to add to the application."""
        whose = self._callers.of
        return [
            web.post("/api/sessions/{kind}", guarded(self.submit, whose)),
            web.get("/api/sessions/{id}", guarded(self.read, whose)),
            web.post("/api/sessions/{id}/cancel", guarded(self.cancel, whose)),
            web.get("/api/credits", guarded(self.credits, whose)),
        ]

    @described(SUBMIT)
    async def submit(self, request: web.Request, caller: Caller) -> web.Response:
        """Insert a session, or for an array one each; the same again answers the same session."""
        require_json(request, "A session")
        payload = parsed_json(await read_body(request, BODY_BYTES))
        table = await self._table(caller, request.match_info["kind"])
        header = request.headers.get("Idempotency-Key")
        if isinstance(payload, list):
            return await self._submit_all(request, caller, table, payload, header)
        one = self._submission(payload, table, caller, idempotency_key(header, None))
        (taken,) = await self._intake.take(table, caller, [one], request[REQUEST_ID])
        if taken.refused is not None:
            raise taken.refused
        shown = await self._showing.session(table, taken.row)
        return _answer(request, shown, taken.status, {hdrs.LOCATION: f"/api/sessions/{shown['id']}"})

    @described(READ)
    async def read(self, request: web.Request, caller: Caller) -> web.Response:
        """One session as it stands, its result with fresh signed URLs."""
        table, row = await self._found(caller, request.match_info["id"])
        return _answer(request, await self._showing.session(table, row))

    @described(CANCEL)
    async def cancel(self, request: web.Request, caller: Caller) -> web.Response:
        """Cancel a waiting session at once, ask a running one's worker to stop; asked again, it says `already`."""
        table, row = await self._found(caller, request.match_info["id"])
        outcome = await self._desk.cancel(caller.owner, UUID(str(row[table.id_column])))
        return _answer(request, {"id": row[table.id_column], **outcome})

    @described(CREDITS)
    async def credits(self, request: web.Request, caller: Caller) -> web.Response:
        """The caller's balance."""
        return _answer(request, {"credits": await self._desk.credits(caller.owner)})

    async def _submit_all(
        self, request: web.Request, caller: Caller, table: OwnedTable, payloads: Sequence[object], header: str | None
    ) -> web.Response:
        if not 0 < len(payloads) <= MOST_SESSIONS:
            message = f"An array has 1 to {MOST_SESSIONS} sessions."
            raise Refused(422, "TOO_MANY_SESSIONS", message, None, sessions=len(payloads), most=MOST_SESSIONS)
        ends: list[Taken | None] = [None] * len(payloads)
        usable: list[tuple[int, Submission]] = []
        for index, payload in enumerate(payloads):
            try:
                one = self._submission(payload, table, caller, idempotency_key(header, index))
            except Refused as refused:
                ends[index] = Taken(refused.status, {}, refused)
            else:
                usable.append((index, one))
        taken = await self._intake.take(table, caller, [one for _, one in usable], request[REQUEST_ID])
        for (index, _), end in zip(usable, taken, strict=True):
            ends[index] = end
        items = [await self._item(table, index, end) for index, end in enumerate(ends) if end is not None]
        return _answer(request, items, 207)

    async def _item(self, table: OwnedTable, index: int, end: Taken) -> dict[str, Any]:
        if end.refused is not None:
            return {"index": index, "status": end.status, **end.refused.body()}
        return {"index": index, "status": end.status, "session": await self._showing.session(table, end.row)}

    def _submission(self, payload: object, table: OwnedTable, caller: Caller, key: str | None) -> Submission:
        return submission(payload, table, caller, key, self._params.get(table.kind))

    async def _tables(self, caller: Caller) -> list[OwnedTable]:
        return [table for table in await self._desk.tables() if table.owner_column == caller.owner_column]

    async def _table(self, caller: Caller, kind: str) -> OwnedTable:
        tables = {table.kind: table for table in reversed(await self._tables(caller))}
        if kind not in tables:
            raise Refused(404, "KIND_UNKNOWN", "There are no sessions of this kind.", None, kinds=sorted(tables))
        return tables[kind]

    async def _found(self, caller: Caller, name: str) -> tuple[OwnedTable, dict[str, Any]]:
        """By our id, or by the session_id or task_id that the caller gave it."""
        ids = [str(session_id(caller, named(field, name))) for field in ID_FIELDS]
        with suppress(ValueError):
            ids.append(str(UUID(name)))
        for table in await self._tables(caller):
            rows = await self._desk.read(table, caller.owner, table.id_column, ids)
            if not rows and TASK in table.inputs and KEY.fullmatch(name):
                rows = await self._desk.read(table, caller.owner, TASK, [name])
            if rows:
                return table, rows[0]
        raise session_unknown()


def _answer(
    request: web.Request, data: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.json_response(
        {"data": data, "meta": {"request_id": request[REQUEST_ID]}}, status=status, headers=headers
    )

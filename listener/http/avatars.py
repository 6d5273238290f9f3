"""POST /generate, GET /status/{id}, GET /result/{id}: talking avatars, for stores and for signed-in users.

A thin view of rows and files: it takes what a form holds, shows where a session stands, and signs what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web
from pydantic import BaseModel

from listener.api import OwnedTable, SessionDesk
from listener.errors import StoreError
from listener.http.avatar_answers import Avatar, AvatarAnswer, ClipAnswer, Failure, Place
from listener.http.avatar_clips import Clips
from listener.http.avatar_forms import GENERATE, READER, RESULT, STATUS
from listener.http.avatar_orders import AvatarOrders, Ordered
from listener.http.customers import Customer, Customers
from listener.http.forms import ask_late
from listener.http.guarded import guarded
from listener.http.openapi.operation import described
from listener.http.openapi.shapes import Meta
from listener.http.refusal import Refused
from listener.http.scratch import Scratch
from listener.http.server import REQUEST_ID
from listener.http.shown import error_of, state_of
from listener.http.store_refusals import session_unknown
from listener.http.submissions import idempotency_key
from listener.http.upload_places import UploadPlaces
from listener.ports import Clock
from listener.telemetry import log

KIND = "avatar"
OPEN = frozenset({"queued", "processing"})
SHOWN = {"queued": "pending"}
"""Our states -> the documents' words for them, where they differ."""
WITHIN_S = 300.0
"""For the form to come, to be looked at, and to be laid into the storage."""


@dataclass(frozen=True, slots=True)
class Reception:
    """Where forms are taken in."""

    places: UploadPlaces
    scratch: Scratch
    orders: AvatarOrders


class AvatarsApi:
    """The endpoints of avatars."""

    def __init__(
        self, customers: Customers, desk: SessionDesk, reception: Reception, clips: Clips, clock: Clock
    ) -> None:
        self._customers = customers
        self._desk = desk
        self._reception = reception
        self._clips = clips
        self._clock = clock

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes to add to the application."""
        whose = self._customers.of
        generate = guarded(self.generate, whose, WITHIN_S)
        return [
            web.post("/generate", generate, expect_handler=ask_late),
            web.get("/status/{id}", guarded(self.status, whose)),
            web.get("/result/{id}", guarded(self.result, whose)),
        ]

    @described(GENERATE)
    async def generate(self, request: web.Request, customer: Customer) -> web.Response:
        """Order a clip of a picture that says a recording; the same again answers the same session."""
        READER.require(request)
        key = idempotency_key(request.headers.get("Idempotency-Key"), None)
        table, reception = await self._table(customer), self._reception
        try:
            with reception.places.place(customer.caller.owner), reception.scratch.folder() as folder:
                form = await READER.read(request, folder)
                ordered = await reception.orders.take(customer, table, form, key, request[REQUEST_ID])
        except OSError as error:
            raise _disk_away(error) from error
        shown = await self._shown(customer, table, ordered)
        location: dict[str, str] = {hdrs.LOCATION: f"/status/{shown.id}"}
        return _answer(AvatarAnswer(data=shown, meta=_meta(request)), 201 if ordered.is_new else 200, location)

    @described(STATUS)
    async def status(self, request: web.Request, customer: Customer) -> web.Response:
        """A session as it stands."""
        table, row = await self._found(request, customer)
        shown = await self._shown(customer, table, Ordered(row, False))
        return _answer(AvatarAnswer(data=shown, meta=_meta(request)))

    @described(RESULT)
    async def result(self, request: web.Request, customer: Customer) -> web.Response:
        """The finished video, with fresh signed URLs."""
        table, row = await self._found(request, customer)
        clip = await self._clips.clip(table, row, customer.caller.owner)
        return _answer(ClipAnswer(data=clip, meta=_meta(request)))

    async def _table(self, customer: Customer) -> OwnedTable:
        for table in await self._desk.tables():
            if table.kind == KIND and table.owner_column == customer.caller.owner_column:
                return table
        raise Refused(404, "KIND_UNKNOWN", "There are no sessions of this kind.", None, kinds=[])

    async def _found(self, request: web.Request, customer: Customer) -> tuple[OwnedTable, dict[str, Any]]:
        try:
            row_id = UUID(request.match_info["id"])
        except ValueError:
            raise session_unknown() from None
        table = await self._table(customer)
        if (row := await customer.read(table, row_id)) is None:
            raise session_unknown()
        return table, row

    async def _shown(self, customer: Customer, table: OwnedTable, ordered: Ordered) -> Avatar:
        row, state = ordered.row, str(state_of(table, ordered.row, "status"))
        row_id = UUID(str(row[table.id_column]))
        queue = await _place(customer, row_id) if state in OPEN else None
        ends = None
        if queue is not None and queue.estimate_s is not None:
            ends = self._clock.now() + timedelta(seconds=queue.estimate_s)
        columns = ("progress", "message", "started_at", "finished_at")
        return Avatar(
            id=row_id,
            job_id=row_id,
            status=SHOWN.get(state, state),
            resolution=row["resolution"],
            seed=row["seed"],
            created_at=row["created_at"],
            estimated_completion=ends,
            queue=queue,
            error=Failure.model_validate(error) if (error := error_of(table, row)) else None,
            warnings=[*ordered.warnings, *warned_of(table, row)],
            **{name: state_of(table, row, name) for name in columns},
        )


async def _place(customer: Customer, row_id: UUID) -> Place | None:
    """Where it stands; None when nobody can tell now: an order that was paid is never answered with an error."""
    with suppress(StoreError, Refused):
        return Place.model_validate(await customer.queue(row_id))
    return None


def warned_of(table: OwnedTable, row: Mapping[str, Any]) -> list[str]:
    """What the handler warned of when it was done."""
    result = state_of(table, row, "result")
    told = result.get("warnings") if isinstance(result, dict) else None
    return [str(one) for one in told] if isinstance(told, list) else []


def _disk_away(error: OSError) -> Refused:
    log.get("http").error("upload_not_kept", exc_info=error)
    message = "The files cannot be taken in at the moment. The same request may be sent again."
    return Refused(503, "TEMPORARILY_UNAVAILABLE", message, {hdrs.RETRY_AFTER: "30"})


def _meta(request: web.Request) -> Meta:
    return Meta(request_id=request[REQUEST_ID])


def _answer(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(text=body.model_dump_json(), status=status, content_type="application/json", headers=headers)

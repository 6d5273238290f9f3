"""POST /hooks/supabase: an authentic webhook of a watched table is a wake-up, and nothing else.

Knows the two forms and how each proves where it comes from; does not know what a wake-up leads to. Nothing of the
body is kept or used: the row is claimed from the database by whoever gets it.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from listener.contract import Log
from listener.http.body import read_body, require_json
from listener.http.openapi.operation import Described, Gives, Parameter, Takes, described
from listener.http.openapi.shapes import Shape
from listener.http.refusal import Refused
from listener.ports import WatchedTable

PATH = "/hooks/supabase"
SIGNATURE = "webhook-signature"
SHARED = "x-webhook-secret"
SIGNED_BYTES = 16 * 1024
"""Our own form carries no row."""
PLAIN_BYTES = 1024 * 1024
"""The dashboard's form carries the whole row; it is read only after its secret was found right."""
LOG_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Secrets:
    """What proves a webhook's origin; two of a kind while one replaces the other, none switches the form off."""

    signing: Sequence[str] = field(default=(), repr=False)
    shared: Sequence[str] = field(default=(), repr=False)


class Arrived(BaseModel):
    """What is read of a body; the rest is not looked at."""

    type: Literal["INSERT", "UPDATE", "DELETE"]
    schema_name: str = Field(alias="schema", min_length=1, max_length=200)
    table: str = Field(min_length=1, max_length=200)


class Accepted(Shape):
    """It will be looked."""

    status: Literal["accepted"]


EXAMPLE = {"type": "INSERT", "schema": "public", "table": "headshot_sessions"}
RECEIVE = Described(
    id="receiveWebhook",
    summary="Tell of an insert",
    group="Webhooks of the database",
    gives={202: Gives("The worker looks for new sessions.", Accepted)},
    refuses=(
        "WEBHOOK_MALFORMED",
        "WEBHOOK_UNPROVEN",
        "SIGNATURE_STALE",
        "SIGNATURE_INVALID",
        "SECRET_INVALID",
        "WEBHOOKS_OFF",
        "EVENT_NOT_INSERT",
        "TABLE_NOT_SERVED",
    ),
    takes=Takes(Arrived, PLAIN_BYTES, example=EXAMPLE, refuses=()),
    parameters=(
        Parameter(SHARED, "The secret of the dashboard's form.", "header", example="$WEBHOOK_SECRET"),
        Parameter(SIGNATURE, "Our own form, signed as Standard Webhooks has it.", "header"),
    ),
    asks=False,
    words="Set up by `listener webhook`, or in Supabase's dashboard. Nothing of the body is kept or used.",
)


class Hooks:
    """The endpoint. `outcomes` counts what it answered, by code."""

    def __init__(self, secrets: Secrets, hear: Callable[[], None], log: Log) -> None:
        self._secrets = secrets
        self._hear = hear
        self._log = log
        self._tables: frozenset[tuple[str, str]] | None = None
        self._logged_at: dict[str, float] = {}
        self.outcomes: Counter[str] = Counter()

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes to add to the application."""
        return [web.post(PATH, self.receive)]

    def watch(self, tables: Sequence[WatchedTable]) -> None:
        """Accept webhooks of these tables from now on; before the first call every table is taken for watched."""
        self._tables = frozenset((table.schema, table.table) for table in tables)

    @described(RECEIVE)
    async def receive(self, request: web.Request) -> web.Response:
        """Answer 202 to a wake-up, and say to anything else what is wrong with it."""
        try:
            self._require_watched(_parsed(await self._authentic(request)))
        except Refused as refused:
            self._count(refused)
            raise
        self.outcomes["accepted"] += 1
        self._hear()
        return web.json_response({"status": "accepted"}, status=202)

    async def _authentic(self, request: web.Request) -> bytes:
        """The body, once the request has proven that it may wake us."""
        if not self._secrets.signing and not self._secrets.shared:
            raise Refused(404, "WEBHOOKS_OFF", "This worker takes no webhooks: it has no secret to know them by.")
        require_json(request, "A webhook")
        if self._secrets.signing and SIGNATURE in request.headers:
            body = await read_body(request, SIGNED_BYTES)
            self._require_signature(request, body)
            return body
        if self._secrets.shared and SHARED in request.headers:
            self._require_shared(request.headers[SHARED])
            return await read_body(request, PLAIN_BYTES)
        accepted = [SIGNATURE] * bool(self._secrets.signing) + [SHARED] * bool(self._secrets.shared)
        raise Refused(401, "WEBHOOK_UNPROVEN", "No header proves where this webhook comes from.", accepted=accepted)

    def _require_signature(self, request: web.Request, body: bytes) -> None:
        headers = {name: request.headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", SIGNATURE)}
        stale = False
        for secret in self._secrets.signing:
            try:
                Webhook(secret).verify(body, headers, json_parse=False)
            except (WebhookVerificationError, ValueError) as error:  # what is malformed comes as ValueError
                stale = stale or "timestamp too" in str(error)
            else:
                return
        if stale:
            raise Refused(401, "SIGNATURE_STALE", "The timestamp is more than five minutes away from this clock.")
        raise Refused(401, "SIGNATURE_INVALID", "The signature is not one of this worker's secrets.")

    def _require_shared(self, given: str) -> None:
        offered = given.encode("utf-8", "surrogateescape")
        # All are compared, each in constant time: how long it takes tells nothing of how much was right.
        if not any([hmac.compare_digest(offered, secret.encode()) for secret in self._secrets.shared]):
            raise Refused(401, "SECRET_INVALID", f"The value of {SHARED} is not this worker's.")

    def _require_watched(self, arrived: Arrived) -> None:
        if arrived.type != "INSERT":
            raise Refused(
                422, "EVENT_NOT_INSERT", "Only an insert makes a session: leave update and delete out of the webhook."
            )
        if self._tables is not None and (arrived.schema_name, arrived.table) not in self._tables:
            table = f"{arrived.schema_name}.{arrived.table}"
            watched = sorted(f"{schema}.{name}" for schema, name in self._tables)
            raise Refused(422, "TABLE_NOT_SERVED", "This worker serves no such table.", table=table, served=watched)

    def _count(self, refused: Refused) -> None:
        self.outcomes[refused.code] += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at.get(refused.code, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged_at[refused.code] = now
            count = self.outcomes[refused.code]
            self._log.warning("webhook_refused", code=refused.code, reason=refused.message, so_far=count)


def _parsed(body: bytes) -> Arrived:
    try:
        return Arrived.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        problems = [": ".join([*(str(step) for step in one["loc"]), one["msg"]]) for one in found]
        raise Refused(400, "WEBHOOK_MALFORMED", "The body is not a database webhook.", problems=problems) from None

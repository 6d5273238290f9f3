"""POST at the paths that packages bring: who may call, how much at once, for how long, and what an error looks like.

Knows requests and the contract's errors; does not know what an endpoint does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from listener.contract import Endpoint, EndpointLimits, Fetch
from listener.engine.validation import problems_of
from listener.errors import (
    AttemptFailure,
    ContentRejected,
    InputUnavailable,
    InputUnreachable,
    InvalidParams,
    ModelUnavailable,
    RuntimeDied,
    TimeLimit,
    Transient,
)
from listener.http.body import parsed_json, read_body, require_json
from listener.http.openapi.operation import Described, Gives, Takes, Who, described
from listener.http.openapi.refusals import AFTER, NO, REFUSALS, Refusal
from listener.http.refusal import Refused

BODY_BYTES = 16 * 1024
RETRY_AFTER_S = 2
STATUSES: tuple[tuple[type[AttemptFailure], int], ...] = (
    (InvalidParams, 422),
    (InputUnavailable, 422),
    (ContentRejected, 422),
    (InputUnreachable, 502),
    (Transient, 503),
    (ModelUnavailable, 503),
    (RuntimeDied, 503),
    (TimeLimit, 503),
    (AttemptFailure, 500),
)
"""The first class that fits gives the status."""
TRIED_AGAIN = frozenset({502, 503})

Authorize = Callable[[web.Request], Awaitable[UUID | None]]
"""Lets a request pass, or raises Refused; the account that it counts for, None for who may take all places."""


@dataclass(slots=True)
class Share:
    """What one account may take of an endpoint: half of it, so that its slow pictures hold nobody else up."""

    working: asyncio.Semaphore
    most_inside: int
    inside: int = 0

    @classmethod
    def of(cls, owner: UUID | None, limits: EndpointLimits) -> Share:
        """The share of an account, or all."""
        parts = 1 if owner is None else 2
        working = asyncio.Semaphore(max(1, limits.at_once // parts))
        return cls(working, max(1, (limits.at_once + limits.waiting) // parts))


class EndpointDoor:
    """One endpoint as requests meet it."""

    def __init__(self, endpoint: Endpoint[Any], fetch: Fetch, authorize: Authorize, who: tuple[Who, ...] = ()) -> None:
        self._who = who
        self._endpoint = endpoint
        self._fetch = fetch
        self._authorize = authorize
        self._working = asyncio.Semaphore(endpoint.limits.at_once)
        self._inside = 0
        self._shares: dict[UUID | None, Share] = {}

    def route(self) -> web.AbstractRouteDef:
        """The route to add to the application."""

        @described(self._operation())
        async def answer(request: web.Request) -> web.Response:
            return await self.answer(request)

        return web.post(self._endpoint.path, answer)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request, or say what is wrong with it."""
        owner = await self._authorize(request)
        require_json(request, "The request")
        params = self._params(parsed_json(await read_body(request, BODY_BYTES)))
        try:
            async with asyncio.timeout(self._endpoint.limits.within_s), self._turn(owner):
                answer = await self._endpoint.run(params, self._fetch)
        except TimeoutError:
            message = "This took too long. The same request may be sent again."
            raise Refused(503, "TIMEOUT", message, _retry_after()) from None
        except AttemptFailure as failure:
            raise refusal_of_failure(failure) from failure
        return web.json_response(answer)

    def _operation(self) -> Described:
        """As the endpoint's own class tells it; see Endpoint in the contract."""
        endpoint = self._endpoint
        failures: Sequence[type[AttemptFailure]] = getattr(endpoint, "failures", ())
        return Described(
            id=_camel(endpoint.path),
            summary=getattr(endpoint, "summary", endpoint.path),
            group=getattr(endpoint, "group", "Other endpoints"),
            who=self._who,
            gives={200: Gives("The answer.", getattr(endpoint, "Answer", dict[str, Any]))},
            refuses=("BUSY", "INPUT_UNAVAILABLE", "INPUT_UNREACHABLE"),
            takes=Takes(endpoint.Params, BODY_BYTES, example=getattr(endpoint, "example", None)),
            own_refusals=dict(_refusal(failure) for failure in failures),
        )

    def _params(self, body: object) -> BaseModel:
        try:
            params: BaseModel = self._endpoint.Params.model_validate(body)
        except ValidationError as error:
            message = "The request has a field that cannot be used."
            raise Refused(422, "INVALID_PARAMS", message, None, fields=problems_of(error, "body")) from None
        return params

    @asynccontextmanager
    async def _turn(self, owner: UUID | None) -> AsyncIterator[None]:
        """Wait in a line that has an end: who would wait longer than is of use is told so at once."""
        limits = self._endpoint.limits
        share = self._shares.get(owner) or Share.of(owner, limits)
        if self._inside >= limits.at_once + limits.waiting or share.inside >= share.most_inside:
            raise Refused(503, "BUSY", "Too many requests are being answered. Please try again.", _retry_after())
        self._shares[owner] = share
        self._inside += 1
        share.inside += 1
        try:
            async with share.working, self._working:
                yield
        finally:
            self._inside -= 1
            share.inside -= 1
            if not share.inside:
                del self._shares[owner]


def _refusal(failure: type[AttemptFailure]) -> tuple[str, Refusal]:
    status, code = status_of(failure), failure.code.upper()
    return code, REFUSALS.get(code) or Refusal(status, failure.public_message, AFTER if status in TRIED_AGAIN else NO)


def _camel(path: str) -> str:
    first, *others = re.findall(r"\w+", path)
    return "".join([first, *(word.capitalize() for word in others)])


def status_of(failure: type[AttemptFailure]) -> int:
    """With which status a failure is answered."""
    return next(status for kind, status in STATUSES if issubclass(failure, kind))


def refusal_of_failure(failure: AttemptFailure) -> Refused:
    """The answer that tells of a failure, in the taxonomy's own words: never those of the exception."""
    status = status_of(type(failure))
    headers = _retry_after(failure.retry_after_s) if status in TRIED_AGAIN else {}
    refused = Refused(status, failure.code.upper(), failure.public_message, headers)
    refused.details = dict(failure.details)
    return refused


def _retry_after(seconds: float | None = None) -> dict[str, str]:
    return {hdrs.RETRY_AFTER: str(max(1, round(seconds or RETRY_AFTER_S)))}

"""The HTTP server: limits, uniform errors, request ids, the bound port. Knows aiohttp; the routes come from others."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from uuid import uuid4

from aiohttp import web

from listener.http.cors import Cors
from listener.http.malformed import Runner
from listener.http.refusal import Refused, error_body
from listener.telemetry import log

BODY_BYTES = 64 * 1024
KEEPALIVE_S = 15.0
SHUTDOWN_S = 2.0
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
REQUEST_ID = web.RequestKey("request_id", str)
ANSWER_HEADERS = web.RequestKey("answer_headers", dict[str, str])
"""A request's own dict of headers that its answer carries, also when it is refused."""
ID_HEADER = "X-Request-Id"
REFUSED_AS = web.RequestKey("refused_as", str)
"""The code that a request was refused with."""
PROBES = frozenset({"/livez", "/startupz", "/readyz", "/health", "/metrics"})
"""Asked for every few seconds: their lines would bury all others."""
TOLD = {404: "There is no such path: GET /docs tells all there are.", 405: "The path has no such method: see Allow."}
TAKEN_ID = re.compile(r"[\x21-\x7e]{1,200}")
"""The caller's own id is taken when the database would take it: see sql/functions/request_header.sql."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every refusal and every fault in the uniform shape; a fault's text goes to the log only."""
    try:
        return await handler(request)
    except Refused as refused:
        request[REFUSED_AS] = refused.code
        return web.json_response(refused.body(), status=refused.status, headers=refused.headers)
    except web.HTTPException as refusal:
        if refusal.status < 400:  # noqa: PLR2004 - redirects are answers
            raise
        code = refusal.reason.upper().replace(" ", "_").replace("-", "_")
        request[REFUSED_AS] = code
        headers = {"Allow": refusal.headers["Allow"]} if "Allow" in refusal.headers else None
        body = error_body(code, TOLD.get(refusal.status, refusal.reason))
        return web.json_response(body, status=refusal.status, headers=headers)
    except Exception as fault:  # noqa: BLE001 - the edge of the process
        request[REFUSED_AS] = "INTERNAL_ERROR"
        log.get("http").error("request_failed", exc_info=fault, method=request.method, path=request.path)
        return web.json_response(error_body("INTERNAL_ERROR", "Something went wrong on our side."), status=500)


def _tell(route: str, method: str, status: int, took_s: float, code: str | None) -> None:
    """Log a line for each answer, under the request's id: whoever reports that id can be told what became of it."""
    if route not in PROBES:
        facts = {"method": method, "route": route, "status": status, "took_ms": round(1000 * took_s, 1)}
        log.get("http").info("request_answered", **facts, **({} if code is None else {"code": code}))


class CannotListenError(OSError):
    """The address cannot be had: another process has it, or it is none of this machine's."""


OnAnswer = Callable[[str, str, int, float], None]
"""Called with the route's pattern (never the path), the method, the status and the seconds of each answer."""


@asynccontextmanager
async def serving(
    host: str,
    port: int,
    routes: Iterable[web.AbstractRouteDef],
    on_answer: OnAnswer = lambda *_: None,
    origins: Collection[str] = (),
) -> AsyncIterator[int]:
    """Serve until the block ends; gives the port that is really bound. Pages of `origins` may call it.

    Raises: CannotListenError.
    """
    cors = Cors(origins)

    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        given = request.headers.get(ID_HEADER, "")
        request[REQUEST_ID] = given if TAKEN_ID.fullmatch(given) else str(uuid4())
        request[ANSWER_HEADERS] = {}
        with log.bound(request_id=request[REQUEST_ID]):
            answer = cors.preflight(request) or await handler(request)
            resource = request.match_info.route.resource
            method = request.method if request.method in METHODS else OTHER
            route = resource.canonical if resource is not None else OTHER
            took_s = time.perf_counter() - began
            on_answer(route, method, answer.status, took_s)
            _tell(route, method, answer.status, took_s, request.get(REFUSED_AS))
        answer.headers.update({"Server": "listener", ID_HEADER: request[REQUEST_ID]})
        answer.headers.setdefault("Cache-Control", "no-store")  # answers hold signed URLs, and states that change
        answer.headers.update(cors.headers(request))
        answer.headers.update(request[ANSWER_HEADERS])
        return answer

    app = web.Application(client_max_size=BODY_BYTES, middlewares=[counted, errors_as_json])
    app.add_routes(routes)
    runner = Runner(
        app,
        access_log=None,
        auto_decompress=False,  # no endpoint takes an encoded body, and none should be unpacked to be thrown away
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=SHUTDOWN_S,
        handle_signals=False,
    )
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _listen(runner: Runner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else f"{error}"
        raise CannotListenError(error.errno, f"cannot listen at {host}:{port}: {reason}") from error

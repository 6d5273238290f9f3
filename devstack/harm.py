"""Carries out the faults of requests and websockets, in front of every service; knows nothing of what they answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time

import jwt
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from devstack.access import SERVICES
from devstack.auth.bearer import APIKEY, AUTHORIZATION
from devstack.faults import Faults, HttpFault
from devstack.tokens import ProjectKeys

AN_HOUR_S = 3600
GIVEN_UP_EACH_S = 0.05
CLOSE_FRAME = b"\x88\x02"  # final, opcode 8, two bytes: the code
# What the gateway itself says when a service does not answer well; only 429 and 5xx have words of their own.
WORDS = {
    429: "API rate limit exceeded",
    500: "An unexpected error occurred",
    502: "An invalid response was received from the upstream server",
    503: "name resolution failed",
    504: "The upstream server is timing out",
}


def harm(faults: Faults, keys: ProjectKeys) -> Middleware:
    """Hurt the requests that a fault strikes, and register every websocket to be dropped or frozen."""

    @web.middleware
    async def hurt(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(SERVICES):
            return await handler(request)
        fault = faults.http_fault(request.method, request.path)
        if fault is not None:
            refused = await _before(request, fault, keys)
            if refused is not None:
                return refused
        with _registered(request, faults):
            answer = await handler(request)
        if fault is not None and fault.kind == "lost_answer":
            _reset(request)
        return answer

    return hurt


async def _before(request: web.Request, fault: HttpFault, keys: ProjectKeys) -> web.Response | None:
    """What comes before the service is asked; an answer when it is not asked at all."""
    match fault.kind:
        case "status":
            return _refusal(fault)
        case "late":
            await asyncio.sleep(fault.delay_s)
        case "hang":
            while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - no event
                await asyncio.sleep(GIVEN_UP_EACH_S)
            return web.Response(status=499)
        case "reset":
            _reset(request)
            return web.Response(status=499)
        case "expired_token":
            for name in (APIKEY, AUTHORIZATION):
                if request.get(name):
                    request[name] = _expired(request[name], keys)
    return None


def _refusal(fault: HttpFault) -> web.Response:
    headers = {} if fault.retry_after_s is None else {hdrs.RETRY_AFTER: str(fault.retry_after_s)}
    words = WORDS.get(fault.status, "refused by a fault that a test switched on")
    return web.json_response({"message": words}, status=fault.status, headers=headers)


def _expired(header: str, keys: ProjectKeys) -> str:
    scheme, _, token = header.rpartition(" ")
    try:
        claims = keys.decode(token)
    except jwt.PyJWTError:
        return header  # it is refused for another reason
    now = int(time.time())
    ended = keys.mint({**claims, "iat": now - 2 * AN_HOUR_S, "exp": now - AN_HOUR_S}, 0)
    return f"{scheme} {ended}".strip()


def _reset(request: web.Request) -> None:
    """Cut the connection so that the client sees a reset, not an end."""
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


def _registered(request: web.Request, faults: Faults) -> contextlib.AbstractContextManager[None]:
    if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
        return contextlib.nullcontext()
    return faults.registered(_WebSocket(request))


class _WebSocket:
    """A websocket below the library that speaks on it."""

    def __init__(self, request: web.Request) -> None:
        self._request = request

    def drop(self, code: int | None) -> None:
        transport = self._request.transport
        if transport is None:
            return
        if code is None:
            _reset(self._request)
            return
        transport.write(CLOSE_FRAME + code.to_bytes(2, "big"))
        transport.close()

    def freeze(self) -> None:
        if isinstance(self._request.transport, asyncio.Transport):
            self._request.transport.pause_reading()

    def thaw(self) -> None:
        if isinstance(self._request.transport, asyncio.Transport):
            self._request.transport.resume_reading()

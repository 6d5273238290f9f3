"""Sends one request of the queue and says what came of it; knows nothing of the database.

Source: pg_net 0.20, src/core.c: which headers, redirects, what is stored; libcurl's words for what goes wrong.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict

USER_AGENT = "pg_net/0.20.6"
CURL_WORDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "Couldn't resolve host name"),
    (aiohttp.ClientConnectorError, "Couldn't connect to server"),
    (aiohttp.TooManyRedirects, "Number of redirects hit maximum amount"),
    (aiohttp.NonHttpUrlClientError, "Unsupported protocol"),
    ((aiohttp.InvalidURL, ValueError), "URL using bad/illegal format or missing URL"),
    (aiohttp.ServerDisconnectedError, "Server returned nothing (no headers, no data)"),
    (Exception, "Failure when receiving data from the peer"),
)
"""What libcurl says; the first line that fits."""


@dataclass(frozen=True, slots=True)
class Request:
    """A row of net.http_request_queue; `headers` is None where it holds no object."""

    id: int
    method: str
    url: str
    headers: dict[str, str] | None
    body: bytes | None
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of net._http_response."""

    id: int
    status: int | None = None
    content_type: str | None = None
    headers: dict[str, str] | None = None
    content: str | None = None
    timed_out: bool = False
    error: str | None = None


async def send(session: aiohttp.ClientSession, request: Request) -> Outcome:
    """Send once; whatever goes wrong is the outcome."""
    if request.timeout_ms <= 0:
        return Outcome(request.id, error=f"timeout_milliseconds must be at least 1, got {request.timeout_ms}")
    if request.headers is None:
        return Outcome(request.id, error="cannot call jsonb_each_text on a non-object")
    for name, value in request.headers.items():
        if "\r" in value or "\n" in value:
            return Outcome(request.id, error=f'header "{name}" contains a carriage return or line feed')
    started = time.monotonic()
    try:
        async with asyncio.timeout(request.timeout_ms / 1000):
            return await _answer(session, request)
    except TimeoutError:
        passed_ms = (time.monotonic() - started) * 1000
        text = f"Timeout of {request.timeout_ms} ms reached. Total time: {passed_ms:.6f} ms"
        return Outcome(request.id, timed_out=True, error=text)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Outcome(request.id, error=_words(error))


async def _answer(session: aiohttp.ClientSession, request: Request) -> Outcome:
    async with session.request(
        request.method.upper(),
        request.url,
        headers={**(request.headers or {}), hdrs.USER_AGENT: USER_AGENT},
        data=request.body,
        skip_auto_headers=() if request.body else (hdrs.CONTENT_TYPE,),
    ) as response:
        body = (await response.read()).decode(errors="replace").partition("\0")[0]
        # Bytes that are no UTF-8 came as half surrogate pairs, which no text of PostgreSQL may hold.
        told = [(name, value.encode(errors="surrogateescape")) for name, value in response.headers.items()]
        headers = CIMultiDict((name, value.decode(errors="replace")) for name, value in told)
        return Outcome(
            request.id,
            response.status,
            headers.get(hdrs.CONTENT_TYPE),
            dict(headers),
            body or None,
        )


def _words(error: Exception) -> str:
    return next(words for kinds, words in CURL_WORDS if isinstance(error, kinds))

"""Reads a request's body: only JSON that is not encoded, never more than a limit, never for longer than a few seconds.

Knows bytes and JSON; does not know what the body should say.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from aiohttp import hdrs, web

from listener.http.refusal import Refused

READ_S = 5.0


def require_json(request: web.Request, what: str) -> None:
    """Look at the headers alone. Raises: Refused."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity")
    if request.content_type != "application/json" or encoding != "identity":
        raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", f"{what} is application/json, not encoded.")


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """The body as it was sent. Raises: Refused when it is too large or comes too slowly."""
    too_large = Refused(413, "PAYLOAD_TOO_LARGE", "The body is too large.", limit_bytes=limit_bytes)
    if (request.content_length or 0) > limit_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(READ_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit_bytes:
                    raise too_large
    except TimeoutError:
        raise Refused(408, "REQUEST_TIMEOUT", f"The body did not come within {READ_S:g} s.") from None
    except (ConnectionError, web.RequestPayloadError):
        raise Refused(400, "BAD_REQUEST", "The body broke off.") from None
    return bytes(body)


def parsed_json(body: bytes) -> Any:
    """Read it as what JSON.parse reads, and as what a database can store. Raises: Refused."""
    try:
        read = json.loads(body, parse_constant=_refuse_constant)
        json.dumps(read, ensure_ascii=False, allow_nan=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Refused(400, "MALFORMED_JSON", "The body is not JSON.") from None
    return read


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError

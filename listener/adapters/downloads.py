"""Reads one object of a bucket with a limit, over the clients' own connections: their download reads whatever comes."""

from __future__ import annotations

import asyncio
from json import JSONDecodeError, loads
from urllib.parse import quote

import httpx
from storage3.exceptions import StorageApiError

from listener.adapters.supabase_clients import Clients
from listener.contract import Fetched
from listener.errors import InputUnavailable, StoreRejected, StoreUnavailable
from listener.ports import Accepted

TOTAL_S = 30.0
OK = 200
NOT_FOUND = "not_found"
"""What the storage calls an object that is not there; a missing bucket, the operator's matter, has another word."""
ERROR_MAX_BYTES = 65_536
PLAIN = {"Accept-Encoding": "identity"}


async def downloaded(clients: Clients, bucket: str, path: str, accepted: Accepted) -> Fetched:
    """Read one object.

    Raises: InputUnavailable for one that is not there or not accepted; what the clients raise, and StoreUnavailable.
    """
    http = clients.uploads.options.httpx_client
    if http is None:
        raise StoreRejected("the client has no connections of its own")
    total_s = accepted.within_s or TOTAL_S
    url = f"{clients.endpoint}/object/{quote(bucket)}/{quote(path)}"
    try:
        async with (
            asyncio.timeout(total_s),
            http.stream("GET", url, headers={**clients.uploads.options.headers, **PLAIN}) as response,
        ):
            if response.status_code != OK:
                raise _failure(response.status_code, await _read(response, ERROR_MAX_BYTES))
            return await _accepted(response, accepted)
    except TimeoutError:
        raise StoreUnavailable(f"download from {bucket}: longer than {total_s:g} s") from None


def not_there() -> InputUnavailable:
    """The object is not there."""
    return _unavailable("is not there", "upload the file first, then insert the row with its path")


def require_type(named: str, accepted: Accepted) -> str:
    """Find the plain content type that a header names. Raises: InputUnavailable when it is not accepted."""
    content_type = named.partition(";")[0].strip().lower()
    if content_type not in accepted.content_types:
        raise _unavailable("is not of a type that can be used", f"upload {', '.join(sorted(accepted.content_types))}")
    return content_type


def require_size(data: bytes, accepted: Accepted) -> bytes:
    """Insist that a file has something in it, and not too much. Raises: InputUnavailable."""
    if len(data) > accepted.size_max_bytes:
        raise _unavailable(f"is larger than {accepted.size_max_bytes // 2**20} MiB", "upload a smaller file")
    if not data:
        raise _unavailable("is empty", "upload the file again")
    return data


async def _accepted(response: httpx.Response, accepted: Accepted) -> Fetched:
    content_type = require_type(response.headers.get("content-type", ""), accepted)
    return Fetched(require_size(await _read(response, accepted.size_max_bytes + 1), accepted), content_type)


async def _read(response: httpx.Response, most_bytes: int) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk[: most_bytes - len(data)]
        if len(data) >= most_bytes:
            break
    return bytes(data)


def _failure(status: int, body: bytes) -> InputUnavailable | StorageApiError:
    """What the storage said: 400 with the real status inside."""
    try:
        told = loads(body)
        code, message, inner = str(told["error"]), str(told["message"]), told["statusCode"]
    except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return StorageApiError("unreadable answer", "InternalError", status)
    if code == NOT_FOUND:
        return not_there()
    return StorageApiError(message, code, inner)


def _unavailable(problem: str, remedy: str) -> InputUnavailable:
    return InputUnavailable(problem, details={"problem": problem, "remedy": remedy})

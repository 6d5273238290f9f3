"""Requests to addresses that users and partners name: public ones only, no redirects, bounded in time and size.

Knows HTTP; what may be connected to is judged by destinations, addresses and dialling.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from listener import __version__
from listener.adapters.destinations import PUBLIC, Destination, Policy, destination_of
from listener.adapters.dialling import Lookup, Resolver, public_socket, system_lookup
from listener.contract import Fetched
from listener.errors import InputUnavailable, InputUnreachable, Unusable
from listener.ports import Accepted, Posted

TOTAL_S = 30.0
CONNECT_S = 10.0
READ_S = 15.0
CONNECTIONS = 32
CONNECTIONS_PER_HOST = 8
CHUNK_BYTES = 65_536
ANSWER_MAX_BYTES = 65_536
"""How much of the answer to a webhook is read, and dropped."""
OK = 200
PASSING_STATUSES = frozenset({408, 425, 429})
FIRST_REDIRECT, FIRST_ERROR, FIRST_SERVER_ERROR = 300, 400, 500
ALIASES = {"image/jpg": "image/jpeg"}
IDENTITY = {"User-Agent": f"listener/{__version__}", "Accept-Encoding": "identity"}


class Outbound:
    """Sends one request at a time to one public host; open_outbound makes it."""

    def __init__(
        self, policy: Policy, public: aiohttp.ClientSession, named: aiohttp.ClientSession, total_s: float
    ) -> None:
        self._policy = policy
        self._public = public
        self._named = named
        self._total_s = total_s

    async def fetch(self, url: str, accepted: Accepted) -> Fetched:
        """Get a file.

        Raises: InputUnavailable for what stays as it is, InputUnreachable for what may pass; neither repeats the URL.
        """
        headers = {**IDENTITY, "Accept": ", ".join(sorted(accepted.content_types))}
        total_s = accepted.within_s or self._total_s
        try:
            destination = destination_of(url, self._policy)
            async with (
                asyncio.timeout(total_s),
                self._session(destination).get(destination.url, headers=headers, allow_redirects=False) as response,
            ):
                _require_answer(response)
                content_type = _content_type(response, accepted)
                return Fetched(await _body(response, accepted.size_max_bytes), content_type)
        except Unusable as error:
            raise _unavailable(error) from None
        except aiohttp.ClientConnectorCertificateError:
            problem = Unusable("has a server whose certificate is not valid", "use a server with a valid certificate")
            raise _unavailable(problem) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(_reason(error, total_s)) from None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Posted:
        """Send a message and read the status; raises nothing for what the other side does."""
        try:
            destination = destination_of(url, self._policy)
            async with (
                asyncio.timeout(timeout_s),
                self._session(destination).post(
                    destination.url, data=body, headers={**IDENTITY, **headers}, allow_redirects=False
                ) as response,
            ):
                await _drop(response)
                return Posted(response.status, retry_after_s=_retry_after_s(response))
        except Unusable as error:
            return Posted(None, error.problem, is_final=True)
        except aiohttp.ClientConnectorCertificateError:
            return Posted(None, "the server's certificate is not valid")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Posted(None, _reason(error, timeout_s))

    def _session(self, destination: Destination) -> aiohttp.ClientSession:
        return self._named if destination.is_named else self._public


@asynccontextmanager
async def open_outbound(
    policy: Policy,
    *,
    total_s: float = TOTAL_S,
    lookup: Lookup = system_lookup,
    trust: ssl.SSLContext | None = None,
) -> AsyncIterator[Outbound]:
    """Open both sessions: one that reaches public addresses alone, one for the hosts that the operator named."""
    context = trust or ssl.create_default_context()
    async with (
        _opened(Resolver(lookup, is_guarded=True), context, is_guarded=True) as public,
        _opened(Resolver(lookup, is_guarded=False), context, is_guarded=False) as named,
    ):
        yield Outbound(policy, public, named, total_s)


@asynccontextmanager
async def _opened(
    resolver: Resolver, context: ssl.SSLContext, is_guarded: bool
) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(
        resolver=resolver,
        socket_factory=public_socket if is_guarded else None,
        use_dns_cache=False,
        force_close=True,
        happy_eyeballs_delay=None,
        limit=CONNECTIONS,
        limit_per_host=CONNECTIONS_PER_HOST,
        ssl=context,
    )
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S),
        ) as session:
            yield session
    finally:
        await resolver.close()


def _require_answer(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status in PASSING_STATUSES or status >= FIRST_SERVER_ERROR:
        raise _unreachable(f"its server answered {status}", _retry_after_s(response))
    if FIRST_REDIRECT <= status < FIRST_ERROR:
        raise Unusable("leads on to another address", "give the address at its end")
    if status != OK:
        raise Unusable(f"has a server that answered {status}", "check that everybody can open the address")


def _content_type(response: aiohttp.ClientResponse, accepted: Accepted) -> str:
    content_type = ALIASES.get(response.content_type, response.content_type)
    if content_type not in accepted.content_types:
        raise Unusable("is not of a type that can be used", f"give one of {', '.join(sorted(accepted.content_types))}")
    # Nothing is ever unpacked here: a few bytes may hold gigabytes.
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise Unusable("comes compressed", "have its server send it as it is")
    return content_type


async def _body(response: aiohttp.ClientResponse, size_max_bytes: int) -> bytes:
    """Read at most so much, whatever length was announced."""
    too_large = Unusable(f"is larger than {size_max_bytes // 2**20} MiB", "give a smaller file")
    if (response.content_length or 0) > size_max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > size_max_bytes:
            raise too_large
    if not body:
        raise Unusable("is empty", PUBLIC)
    return bytes(body)


async def _drop(response: aiohttp.ClientResponse) -> None:
    left = ANSWER_MAX_BYTES
    while left > 0 and (chunk := await response.content.read(left)):
        left -= len(chunk)


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """The seconds that the other side asks for; its other form, a date, is not worth a parser."""
    asked = response.headers.get("Retry-After", "").strip()
    return float(asked) if asked.isascii() and asked.isdigit() and len(asked) <= len("86400") else None


def _reason(error: Exception, total_s: float) -> str:
    """Say what happened, never in the error's own words: they quote the URL."""
    if isinstance(error, TimeoutError):
        return f"its server took longer than {total_s:g} s, or stopped sending"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection to its server"
    return f"its server broke off ({type(error).__name__})"


def _unavailable(error: Unusable) -> InputUnavailable:
    return InputUnavailable(str(error), details={"problem": error.problem, "remedy": error.remedy})


def _unreachable(problem: str, retry_after_s: float | None = None) -> InputUnreachable:
    return InputUnreachable(problem, details={"problem": problem}, retry_after_s=retry_after_s)

"""The transport under the clients that use httpx: errors become ours before a client tries again by itself, sizes end.

Knows httpx; knows no provider.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import cast

import httpx

from handlers.providers.answers import AnswerError, TooLargeError, UnreachedError, retry_after_s

ERROR_BYTES_MAX = 64 * 1024
CONNECT_S = 10.0
ERRORS = 300
"""From here on an answer is none: redirects are not followed, a key might follow them."""


class Bounded(httpx.AsyncByteStream):
    """A body that ends with TooLargeError."""

    def __init__(self, stream: httpx.AsyncByteStream, bytes_max: int) -> None:
        self._stream = stream
        self._bytes_max = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        left = self._bytes_max
        try:
            async for chunk in self._stream:
                left -= len(chunk)
                if left < 0:
                    raise TooLargeError(f"the answer has more than {self._bytes_max} bytes")
                yield chunk
        except httpx.TimeoutException as error:
            raise TimeoutError(type(error).__name__) from error
        except httpx.TransportError as error:
            raise UnreachedError(type(error).__name__, is_sent=True) from error

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._stream.aclose()


class Watched(httpx.AsyncBaseTransport):
    """Sends one request as it is, to `base_url` where one is given instead of `host`; redirects are errors.

    Raises: AnswerError, UnreachedError, TooLargeError; TimeoutError.
    """

    def __init__(self, bytes_max: int, host: str | None = None, base_url: str | None = None) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._bytes_max = bytes_max
        self._host = host
        self._elsewhere = httpx.URL(base_url) if base_url else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        request.headers["Accept-Encoding"] = "identity"  # a small answer stays small
        if self._elsewhere is not None and request.url.host == self._host:
            self._readdress(request, self._elsewhere)
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnreachedError(type(error).__name__, is_sent=False) from error
        except httpx.TimeoutException as error:
            raise TimeoutError(type(error).__name__) from error
        except httpx.TransportError as error:
            raise UnreachedError(type(error).__name__, is_sent=True) from error
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.aclose()
            raise TooLargeError("the answer is compressed, which nobody asked for")
        response.stream = Bounded(cast(httpx.AsyncByteStream, response.stream), self._bytes_max)
        if response.status_code >= ERRORS:
            raise await _answered(response)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    @staticmethod
    def _readdress(request: httpx.Request, base: httpx.URL) -> None:
        path = base.raw_path.rstrip(b"/") + request.url.raw_path
        request.url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port, raw_path=path)
        request.headers["Host"] = request.url.netloc.decode("ascii")


async def _answered(response: httpx.Response) -> AnswerError:
    """Read what an error says, as far as it matters."""
    body = b""
    try:
        async for chunk in cast(httpx.AsyncByteStream, response.stream):
            body += chunk
            if len(body) >= ERROR_BYTES_MAX:
                break
    except (TooLargeError, UnreachedError, TimeoutError):
        pass  # the status says enough
    finally:
        await response.aclose()
    text = body.decode("utf-8", "replace")
    return AnswerError(response.status_code, text, code_in(text), retry_after_s(response.headers))


def code_in(text: str) -> str | None:
    """The code that a JSON error names, in the places where these providers put it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for name in ("error", "detail"):
        inner = found.get(name) if isinstance(found, dict) else None
        inner = inner[0] if isinstance(inner, list) and inner else inner
        found = inner if isinstance(inner, dict) else found
    code = (found.get("code") or found.get("type")) if isinstance(found, dict) else None
    return code if isinstance(code, str) else None

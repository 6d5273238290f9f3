"""What is sent to the port and never reaches the application: answered in the uniform shape, and never quoted.

That is what is no HTTP request, and one that expects what nobody here does. Knows aiohttp's protocol class, whose own
answers and log lines repeat what was sent: it may be a credential.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from uuid import uuid4

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from listener.http.refusal import error_body
from listener.telemetry import log

CONTINUE = "100-continue"

Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Runner(web.AppRunner):
    """An AppRunner whose connections answer so."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        answering = _expected(made.request_handler)
        return _Server(answering, request_factory=made.request_factory, loop=made._loop, **made._kwargs)


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the application never saw, and close the connection."""
        is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if is_ours:
            log.get("http").error("connection_failed", reason=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        words = "Something went wrong on our side." if is_ours else "This is no HTTP request that can be read."
        code = "INTERNAL_ERROR" if is_ours else "BAD_REQUEST"
        return _uniform(status, code, words)


def _expected(answering: Answering) -> Answering:
    """Refuse what expects anything but 100-continue, before a route is looked for."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get(hdrs.EXPECT, CONTINUE).lower() != CONTINUE:
            return _uniform(417, "EXPECTATION_FAILED", "The header Expect can ask for 100-continue alone.")
        return await answering(request)

    return answer


def _uniform(status: int, code: str, words: str) -> web.StreamResponse:
    answer = web.json_response(error_body(code, words), status=status)
    answer.headers.update({"Server": "listener", "X-Request-Id": str(uuid4())})
    answer.force_close()
    return answer

"""GET /openapi.json and GET /docs: what this worker answers, for programs and for people.

Knows the routes' descriptions; the kinds that may be submitted are read from the project.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from aiohttp import web

from listener.http.openapi.document import Served, document_of, served_by
from listener.http.openapi.operation import Described, Gives, described
from listener.http.openapi.page import POLICY, page_of
from listener.http.store_refusals import worded

GROUP = "This document"
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
DOCUMENT = Described(
    id="openapi",
    summary="The OpenAPI document",
    group=GROUP,
    gives={200: Gives("OpenAPI 3.1, made from what the endpoints check.", dict[str, Any])},
    refuses=("TEMPORARILY_UNAVAILABLE",),
    asks=False,
)
PAGE = Described(
    id="docs",
    summary="The same to read",
    group=GROUP,
    gives={200: Gives("One page, without scripts.", str, content_type="text/html")},
    refuses=("TEMPORARILY_UNAVAILABLE",),
    asks=False,
)

Kinds = Callable[[], Awaitable[Sequence[Served]]]


class Reference:
    """Both endpoints. `kinds` tells the operations that there is one of for each kind. Raises: ValueError."""

    def __init__(self, routes: Iterable[web.AbstractRouteDef], kinds: Kinds) -> None:
        self._kinds = kinds
        self._served = served_by([*routes, *self.routes()])

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes to add to the application."""
        return [web.get("/openapi.json", self.document), web.get("/docs", self.page)]

    @described(DOCUMENT)
    async def document(self, _request: web.Request) -> web.Response:
        """The document as JSON."""
        return web.json_response(await self._document())

    @described(PAGE)
    async def page(self, _request: web.Request) -> web.Response:
        """The document as one page."""
        text = page_of(await self._document())
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=HEADERS)

    async def _document(self) -> dict[str, Any]:
        with worded():
            kinds = await self._kinds()
        return document_of([*kinds, *(one for one in self._served if not one.operation.is_per_kind)])

"""A server that speaks the wire of OpenAI's moderation endpoint, or fails on it as the real one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
)


@dataclass
class ModerationServer:
    """What it is asked, and what it answers: `scripted` comes first, one for each request, then judgements."""

    base_url: str = ""
    flagged: dict[str, set[str]] = field(default_factory=dict)
    scripted: list[Any] = field(default_factory=list)
    always: Any = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("Authorization", ""))
        scripted = self.scripted.pop(0) if self.scripted else self.always
        if scripted is None:
            return web.json_response(self.judgement(body))
        answer: web.StreamResponse = await scripted(self, request)
        return answer

    def judgement(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        return {"id": "modr-1", "model": body["model"], "results": [self._result(text) for text in texts]}

    def _result(self, text: str) -> dict[str, Any]:
        hit = {category for word, categories in self.flagged.items() if word in text for category in categories}
        return {
            "flagged": bool(hit),
            "categories": {category: category in hit for category in CATEGORIES},
            "category_scores": {category: 0.98 if category in hit else 0.0001 for category in CATEGORIES},
            "category_applied_input_types": {category: ["text"] for category in CATEGORIES},
        }


def failing(status: int, code: str | None = None, **headers: str) -> Any:
    """An error as OpenAI words it; the 401's text repeats a part of the key."""

    async def answer(_server: ModerationServer, request: web.Request) -> web.Response:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        message = f"Incorrect API key provided: {key}. You asked: {await request.text()}"
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        return web.json_response({"error": error}, status=status, headers=headers)

    return answer


def answering(body: Any, **more: Any) -> Any:
    """A success with another body."""

    async def answer(_server: ModerationServer, _request: web.Request) -> web.Response:
        return web.json_response(body) if not isinstance(body, str) else web.Response(text=body, **more)

    return answer


async def mute(server: ModerationServer, _request: web.Request) -> web.Response:
    """Never answers."""
    await server.released.wait()
    return web.Response()


async def torn(_server: ModerationServer, request: web.Request) -> web.Response:
    """Drops the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def leading_to(url: str) -> Any:
    """A redirect."""

    async def answer(_server: ModerationServer, _request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": url})

    return answer


@asynccontextmanager
async def moderation_server() -> AsyncIterator[ModerationServer]:
    """Run one on a free port."""
    server = ModerationServer()
    app = web.Application()
    app.router.add_post("/v1/moderations", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.base_url = f"http://{host}:{port}/v1"
    try:
        yield server
    finally:
        server.released.set()
        await runner.cleanup()

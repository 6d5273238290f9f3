"""A receiver that keeps what it was sent, and a sender on the test's database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from devstack.webhooks.sender import Sender

WITHIN_S = 20.0


@dataclass
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server that answers as its path says: /status/503, /late, /moved, anything else 200."""

    url: str = ""
    requests: asyncio.Queue[Received] = field(default_factory=asyncio.Queue)
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self) -> Received:
        async with asyncio.timeout(WITHIN_S):
            return await self.requests.get()

    async def answer(self, http: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in http.headers.items()}
        self.requests.put_nowait(Received(http.method, http.path_qs, headers, await http.read()))
        match http.path.split("/"):
            case ["", "status", status]:
                return web.json_response({"no": True}, status=int(status))
            case ["", "late"]:
                await self.hold.wait()
            case ["", "moved"]:
                raise web.HTTPTemporaryRedirect("/there")
        return web.json_response({"heard": True}, headers={"X-Kept": "yes"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    app, made = web.Application(), Receiver()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.hold.set()
    await runner.cleanup()


@pytest.fixture
async def sender(database_url: str) -> AsyncIterator[None]:
    """Sends without the pause between two batches."""
    async with Sender(database_url, pause_s=0).running():
        yield


async def answered(connection: asyncpg.Connection[asyncpg.Record], request: int) -> dict[str, Any]:
    """The row of the answer, as soon as it is there."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            row = await connection.fetchrow("select * from net._http_response where id = $1", request)
            if row is not None:
                return dict(row)
            await asyncio.sleep(0.02)

"""What stands before every endpoint of the API: nobody waits for longer than is said."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from listener.http.guarded import guarded
from listener.http.server import serving


async def test_what_takes_too_long_is_stopped_and_may_be_asked_again() -> None:
    stopped = asyncio.Event()

    async def whose(_request: web.Request) -> str:
        return "a store"

    async def endless(_request: web.Request, _who: str) -> web.Response:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return web.json_response({})

    route = web.get("/endless", guarded(endless, whose, within_s=0.05))
    async with (
        serving("127.0.0.1", 0, [route]) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/endless") as answer,
    ):
        told = (await answer.json())["error"]["code"]
        assert (answer.status, told, answer.headers["Retry-After"]) == (503, "TIMEOUT", "5")
    assert stopped.is_set()

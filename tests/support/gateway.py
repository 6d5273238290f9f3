"""A reverse proxy in front of the stack that answers chosen paths with an error of its own, as a busy gateway does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding"}


class Gateway:
    """Forwards everything but the next `failures` requests whose path begins with `path`."""

    def __init__(self, target: str, session: aiohttp.ClientSession) -> None:
        self._target = target
        self._session = session
        self.path = "/storage/v1/object"
        self.passes = 0
        """So many more are let pass before."""
        self.failures = 0
        self.failed = 0
        self.loses = False
        """Requests are forwarded, and their answers are lost."""
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Forward one request, or fail it."""
        body = await request.read()
        is_chosen = self.failures > 0 and request.path.startswith(self.path)
        if is_chosen and self.passes:
            self.passes -= 1
        elif is_chosen and not self.loses:
            self.failures -= 1
            self.failed += 1
            return web.Response(status=503, text="upstream connect error")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        async with self._session.request(
            request.method, f"{self._target}{request.path_qs}", data=body, headers=headers
        ) as answer:
            if is_chosen and self.loses:
                self.failures -= 1
                self.failed += 1
                return web.Response(status=503, text="upstream connect error")
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


@asynccontextmanager
async def open_gateway(target: str) -> AsyncIterator[Gateway]:
    """A gateway on a port of its own."""
    async with aiohttp.ClientSession() as session:
        gateway = Gateway(target, session)
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", gateway.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield gateway
        finally:
            await runner.cleanup()

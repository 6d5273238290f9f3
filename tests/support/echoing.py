"""A gateway in front of the stack whose errors repeat all that they were sent: the server that leaks the most.

Knows HTTP; websockets do not pass.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding"}


@dataclass
class EchoingGateway:
    """Forwards, but answers a path that begins with one of `faults` with that status, as often as it says.

    The error names every header and the body of the request, and the answer that the stack gave to it. A path of `only`
    fails when that answer holds the word.
    """

    target: str
    url: str = ""
    faults: dict[str, tuple[int, int]] = field(default_factory=dict)
    only: dict[str, bytes] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    _struck: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_done(self, prefix: str, within_s: float = 20.0) -> None:
        """Wait until a fault has struck."""
        async with asyncio.timeout(within_s):
            while prefix not in self.done:
                await self._struck.wait()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        async with (
            aiohttp.ClientSession(auto_decompress=True) as session,
            session.request(request.method, self.target + request.path_qs, data=body, headers=headers) as answer,
        ):
            content = await answer.read()
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            status = answer.status
        for prefix, (fault, times) in self.faults.items():
            if request.path.startswith(prefix) and times > 0 and self.only.get(prefix, b"") in content:
                self.faults[prefix] = (fault, times - 1)
                self.done.append(prefix)
                self._struck.set()
                self._struck = asyncio.Event()
                said = f"{request.path_qs} {dict(request.headers)} {body[:5000]!r} {content[:5000]!r}"
                quoted = f'invalid input syntax for type json: "{said}"'
                error = {"code": "22P02", "message": quoted, "details": said, "hint": said, "error": said}
                return web.Response(status=fault, text=json.dumps(error), content_type="application/json")
        return web.Response(status=status, body=content, headers=kept)


@asynccontextmanager
async def echoing_gateway(target: str) -> AsyncIterator[EchoingGateway]:
    """Run one on a free port."""
    gateway = EchoingGateway(target)
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", gateway.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    gateway.url = f"http://{host}:{port}"
    try:
        yield gateway
    finally:
        await runner.cleanup()

"""A Realtime server on a stack's database, as bare as the recorded one: no gateway before it, its sockets in our hand.

Between it and PostgreSQL lies a cable that can be cut. Knows nothing of recordings.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from aiohttp import web

from devstack.faults import Faults
from devstack.live.limits import Limits
from devstack.live.server import RealtimeServer
from devstack.stack import Stack

WITHIN_S = 20.0
BACKENDS = "select pid from pg_stat_activity where application_name = any ($1) and datname = current_database()"


class Cable:
    """A TCP connection to PostgreSQL that can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self.port = 0

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Cable]:
        """Listen on a free port until the block ends."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        """End all connections, and let no new one through."""
        self.is_cut = True
        for stream in list(self._streams):
            stream.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self.is_cut = False

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        ends = {writer, far_writer}
        self._streams |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, far_writer))
                group.create_task(_copy(far_reader, writer))
        finally:
            self._streams -= ends
            for end in ends:
                end.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()


@dataclass
class Clock:
    """The time by which rates are counted."""

    now_s: float = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now_s


@dataclass
class World:
    """One server, its database, and the sockets of a scenario."""

    stack: Stack
    limits: Limits
    faults: Faults
    clock: Clock
    database: asyncpg.Connection[asyncpg.Record]
    cable: Cable
    http: aiohttp.ClientSession
    sockets: dict[str, aiohttp.ClientWebSocketResponse] = field(default_factory=dict)
    apikeys: dict[str, str] = field(default_factory=dict)
    server: RealtimeServer | None = None
    url: str = ""
    _runner: web.AppRunner | None = None
    _transports: set[asyncio.Transport] = field(default_factory=set)

    async def start(self) -> None:
        """Start the server."""
        parts = urlsplit(self.stack.admin_url)
        dsn = parts._replace(netloc=f"{parts.username}:{parts.password or ''}@127.0.0.1:{self.cable.port}").geturl()
        self.server = RealtimeServer(dsn, self.stack.keys, self.faults, self.limits, self.clock)
        await self.server.start()
        app = web.Application(middlewares=[self._remember])
        app.add_routes(self.server.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop the server as SIGTERM does."""
        if self.server is not None and self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
            await self.server.close()
            await self._runner.cleanup()
            self.server = None

    def kill(self) -> None:
        """End every connection as a killed process does."""
        for transport in self._transports:
            transport.abort()

    async def settled(self) -> None:
        """Return when all that is committed has been delivered; at once when nothing can be."""
        if self.server is not None and not self.cable.is_cut:
            async with asyncio.timeout(WITHIN_S):
                await self.server.caught_up()

    async def terminate(self, *applications: str) -> None:
        """End backends by their application; returns when the server follows the log again."""
        for (pid,) in await self.database.fetch(BACKENDS, list(applications)):
            await self.database.execute("select pg_terminate_backend($1, 10000)", pid)
        await self.settled()

    async def restart_postgres(self) -> None:
        """Restart PostgreSQL as after a crash, and connect again; returns when the server follows the log again."""
        if self.stack.faults.restart is None:
            # PostgreSQL restarts by itself when one of its processes dies.
            os.kill(await self.database.fetchval("select pg_backend_pid()"), signal.SIGKILL)
        else:
            await self.stack.faults.restart_postgres()
        await self.database.close(timeout=1)
        await until(self._reachable)
        await self.settled()

    async def _reachable(self) -> bool:
        try:
            self.database = await asyncpg.connect(self.stack.admin_url)
        except (asyncpg.PostgresError, OSError):
            return False
        return True

    @web.middleware
    async def _remember(self, request: web.Request, handler: Any) -> Any:
        if isinstance(request.transport, asyncio.Transport):
            self._transports.add(request.transport)
        return await handler(request)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again."""
    async with asyncio.timeout(WITHIN_S):
        while not await is_so():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def opened(stack: Stack, limits: Limits, subscribe_delay_s: float, first: str) -> AsyncIterator[World]:
    """A world with a running server, after the SQL that comes `first`."""
    parts = urlsplit(stack.admin_url)
    async with AsyncExitStack() as resources:
        cable = await resources.enter_async_context(Cable(parts.hostname or "", parts.port or 0).laid())
        http = await resources.enter_async_context(aiohttp.ClientSession())
        database = await asyncpg.connect(stack.admin_url)
        faults = Faults(subscribe_delay_s=subscribe_delay_s)
        world = World(stack, limits, faults, Clock(), database, cable, http)
        await database.execute(first)
        await world.start()
        try:
            yield world
        finally:
            for socket in world.sockets.values():
                await socket.close()
            await world.stop()
            await world.database.close()

"""The Realtime service as the gateway mounts it: its routes, one capture of the log, all connections.

Knows the HTTP side (keys, versions, refusals); what is said on a socket is the connection's and the channels' matter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import asyncpg
from aiohttp import web

from devstack.auth.bearer import project_key
from devstack.changes.capture import Capture
from devstack.faults import Faults
from devstack.live.connection import Connection
from devstack.live.dispatch import Dispatcher
from devstack.live.frames import Serializer, compact
from devstack.live.identity import TokenRefusedError, identify
from devstack.live.limits import Limits, Rate
from devstack.live.publication import published, watch_publication
from devstack.live.registry import Registry
from devstack.live.serializer_v1 import SerializerV1
from devstack.live.serializer_v2 import SerializerV2
from devstack.live.services import Services
from devstack.live.speaking import speak, speak_once
from devstack.live.stored import keep_partitions, watch_partitions
from devstack.tokens import ProjectKeys

LARGEST_FRAME_BYTES = 5_000_000
MOST_DATABASE_CONNECTIONS = 4
CLOSE_LIMIT_S = 2.0
GOODBYE_LIMIT_S = 1.0  # for a client to answer a closing frame
SERIALIZERS: dict[str, type[Serializer]] = {"1.0.0": SerializerV1, "2.0.0": SerializerV2}
# UTC as on hosted projects: timestamps are shown in the session's zone.
SESSION = {"application_name": "realtime_subscriptions", "timezone": "UTC"}


class RealtimeServer:
    """Realtime over one database.

    The real server sleeps 2 s before it refuses a connection and 5 s before it refuses a join; this one does not.
    `clock` is what rates are counted by.
    """

    def __init__(
        self,
        database_url: str,
        keys: ProjectKeys,
        faults: Faults,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._keys = keys
        self._faults = faults
        self._limits = limits or Limits()
        self._registry = Registry()
        self._connections: set[Connection] = set()
        self._resources = AsyncExitStack()
        self._database_url = database_url
        self._capture: Capture | None = None
        self._services: Services | None = None

    def routes(self) -> list[web.AbstractRouteDef]:
        """What the gateway serves."""
        return [
            web.get("/realtime/v1/websocket", self._connect),
            web.post("/realtime/v1/api/broadcast", self._speak),
            web.post("/realtime/v1/api/broadcast/{topic}/events/{event}", self._speak_once),
        ]

    async def start(self) -> None:
        """Open the database and begin to follow its log; subscriptions wait until it is followed.

        Raises: asyncpg.PostgresError or OSError when the database cannot be reached.
        """
        pool = await self._resources.enter_async_context(
            asyncpg.create_pool(
                self._database_url, min_size=0, max_size=MOST_DATABASE_CONNECTIONS, server_settings=SESSION
            )
        )
        limits = self._limits
        capture = Capture(self._database_url)
        services = Services(
            pool,
            self._registry,
            self._keys,
            self._faults,
            limits,
            Rate(limits.events_per_s, limits.window_s, self._clock),
            Rate(limits.joins_per_s, limits.window_s, self._clock),
            capture.caught_up,
        )
        async with pool.acquire() as connection:
            await keep_partitions(connection, datetime.now(UTC).date())
            tables = await published(connection)
        group = await self._resources.enter_async_context(asyncio.TaskGroup())
        following = group.create_task(capture.run(Dispatcher(services).deliver))
        self._resources.push_async_callback(_end, capture, following)
        for chore in (watch_publication(services, tables), watch_partitions(pool)):
            self._resources.callback(group.create_task(chore).cancel)
        self._capture = capture
        self._services = services

    async def close(self) -> None:
        """Close every socket and let go of the database; PostgreSQL may be stopped after it, not before."""
        self._services = None
        await asyncio.gather(*(connection.close() for connection in list(self._connections)))
        await self._resources.aclose()

    def kick(self) -> None:
        """Look for changes now: something was written."""
        if self._capture is not None:
            self._capture.kick()

    async def caught_up(self) -> None:
        """Return when all that was committed before the call has been delivered; waits while PostgreSQL is away."""
        if self._capture is not None:
            await self._capture.caught_up()

    async def disconnect_all(self) -> None:
        """Tell every channel that the server hangs up, and do it, as an administrator's reload does."""
        await asyncio.gather(*(connection.disconnect() for connection in list(self._connections)))

    def forget_subscriptions(self) -> None:
        """Deliver no change to any channel until it subscribes again, and tell nobody.

        That is what the real server does when it moves a project to another region.
        """
        self._registry.forget_subscriptions()

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        services = self._services
        if services is None:
            return _refusal(503, "Realtime is not running")
        apikey = project_key(request, request.headers.get("x-api-key") or request.query.get("apikey")) or ""
        serializer = SERIALIZERS.get(request.query.get("vsn", "1.0.0"))
        if (refusal := self._key_refused(apikey)) is not None:
            return refusal
        if serializer is None:
            return web.Response(status=403)
        if (refusal := self._crowd_refused(services)) is not None:
            return refusal
        socket = web.WebSocketResponse(max_msg_size=LARGEST_FRAME_BYTES + 1, compress=False, timeout=GOODBYE_LIMIT_S)
        await socket.prepare(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        connection = Connection(services, socket, serializer(), apikey, headers)
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
        return socket

    def _key_refused(self, apikey: str) -> web.Response | None:
        if not apikey:
            return _refusal(401, "API key is missing")
        try:
            identify(apikey, self._keys)
        except TokenRefusedError as refused:
            return _refusal(401, refused.at_connect)
        return None

    def _crowd_refused(self, services: Services) -> web.Response | None:
        if len(self._connections) >= self._limits.connections:
            return _refusal(429, "Too many connected users")
        return _refusal(429, "Too many joins per second") if services.joins.exceeded else None

    async def _speak(self, request: web.Request) -> web.Response:
        services = self._services
        return _refusal(503, "Realtime is not running") if services is None else await speak(services, request)

    async def _speak_once(self, request: web.Request) -> web.Response:
        services = self._services
        return _refusal(503, "Realtime is not running") if services is None else await speak_once(services, request)


def _refusal(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status, dumps=compact)


async def _end(capture: Capture, following: asyncio.Task[None]) -> None:
    """Let the capture drop its slot; when PostgreSQL does not answer, leave it behind."""
    capture.stop()
    _, hanging = await asyncio.wait({following}, timeout=CLOSE_LIMIT_S)
    if hanging:
        following.cancel()

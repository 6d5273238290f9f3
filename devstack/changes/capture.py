"""Follows PostgreSQL's log through a temporary slot and hands over what was committed, batch by batch.

Knows how to come back after an error or a restart of PostgreSQL; what was committed meanwhile is lost, as with the real
server. Knows nothing of subscribers.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from devstack.changes.pgoutput import Change, Decoder

log = logging.getLogger(__name__)

PUBLICATION = "supabase_realtime"
MESSAGES = "supabase_realtime_messages_publication"
# Measured: an idle poll each 100 ms costs about 1 % of a core; writes through the gateway do not wait for it (kick).
POLL_S = 0.1
RECONNECT_S = 0.2
CLOSE_LIMIT_S = 2.0
# Each poll reads the log again from the oldest transaction that could matter, which PostgreSQL learns only from a
# snapshot in the log, written each 15 s. Measured: 60 to 120 ms a poll after 60 MB of log; a snapshot brings 2 ms back.
SLOW_POLL_S = 0.01
SHORTEN_EACH_S = 0.5
SNAPSHOT_SINCE = 16
SHORTEN = "select pg_log_standby_snapshot()"

CREATE = "select pg_create_logical_replication_slot($1, 'pgoutput', true)"
DROP = "select pg_drop_replication_slot($1)"
TAKE = (
    "select data from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', $2)"
)
# Each poll would write two lines into PostgreSQL's log; only a superuser may turn that off.
SESSION = {"application_name": "realtime_rls", "log_min_messages": "fatal"}

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
# What an operation raises when it is PostgreSQL that went away, not the operation that was wrong.
DATABASE_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # seen when the backend was terminated at the moment of a query
    OSError,
)

Deliver = Callable[[list[Change]], Awaitable[None]]


class Capture:
    """The committed changes of the publication, in commit order, for one receiver."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._kicked = asyncio.Event()
        self._stopping = False
        self._shortened = 0.0
        self._waiting: list[asyncio.Event] = []

    def kick(self) -> None:
        """Poll now: something was written."""
        self._kicked.set()

    async def caught_up(self) -> None:
        """Return when all that was committed before the call has been delivered; waits while PostgreSQL is away."""
        done = asyncio.Event()
        self._waiting.append(done)
        self.kick()
        await done.wait()

    def stop(self) -> None:
        """Let `run` end after the poll under way."""
        self._stopping = True
        self.kick()

    async def run(self, deliver: Deliver) -> None:
        """Hand over what is committed until stopped; errors of the database start over with a new slot."""
        while not self._stopping:
            try:
                await self._follow(deliver)
            except (asyncpg.PostgresError, *DATABASE_GONE) as error:
                log.warning("change capture lost its slot, starting over: %s", error)
                self._kicked.clear()  # a kick does not bring PostgreSQL back sooner
                await self._pause(RECONNECT_S)

    async def _follow(self, deliver: Deliver) -> None:
        async with self._slot() as (connection, name):
            decoder = Decoder()
            while not self._stopping:
                self._kicked.clear()
                waiting = list(self._waiting)
                messages = await self._take(connection, name)
                changes = [change for message in messages if (change := decoder.feed(message["data"]))]
                if changes:
                    await deliver(changes)
                for done in waiting:
                    done.set()
                    self._waiting.remove(done)
                if not messages:
                    await self._pause(POLL_S)

    async def _take(self, connection: Connection, name: str) -> list[asyncpg.Record]:
        started = time.monotonic()
        messages = await connection.fetch(TAKE, name, f"{PUBLICATION},{MESSAGES}")
        ended = time.monotonic()
        if ended - started > SLOW_POLL_S and ended - self._shortened > SHORTEN_EACH_S:
            self._shortened = ended
            await connection.execute(
                SHORTEN if connection.get_server_version().major >= SNAPSHOT_SINCE else "checkpoint"
            )
        return messages

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[tuple[Connection, str]]:
        connection = await asyncpg.connect(self._database_url, server_settings=SESSION)
        name = f"supabase_realtime_{secrets.token_hex(8)}"  # slots of all databases of a cluster share their names
        try:
            await connection.execute(CREATE, name)
            yield connection, name
            # Dropped by hand, not by the end of the session: PostgreSQL refuses to drop a database that a slot uses.
            await connection.execute(DROP, name)
            await connection.close(timeout=CLOSE_LIMIT_S)
        finally:
            connection.terminate()

    async def _pause(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._kicked.wait()
        except TimeoutError:
            return

"""Follows PostgreSQL's log through a temporary slot and hands over what was committed, batch by batch.

Knows how to come back after an error or a restart of PostgreSQL; what was committed meanwhile is lost, as with the real
server. Knows nothing of subscribers.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from devstack.changes.pgoutput import Change, Decoder

log = logging.getLogger(__name__)

PUBLICATION = "supabase_realtime"
# Measured: an idle poll each 100 ms costs about 1 % of a core; writes through the gateway do not wait for it (kick).
POLL_S = 0.1
RECONNECT_S = 0.2
CLOSE_LIMIT_S = 2.0

CREATE = "select pg_create_logical_replication_slot($1, 'pgoutput', true)"
DROP = "select pg_drop_replication_slot($1)"
TAKE = (
    "select data from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', $2)"
)
# Each poll would write two lines into PostgreSQL's log; only a superuser may turn that off.
SESSION = {"application_name": "realtime_rls", "log_min_messages": "fatal"}

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
# What an operation raises when it is PostgreSQL that went away, not the operation that was wrong.
DATABASE_GONE = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError, OSError)

Deliver = Callable[[list[Change]], Awaitable[None]]


class Capture:
    """The committed changes of the publication, in commit order, for one receiver."""

    def __init__(self, database_url: str, deliver: Deliver) -> None:
        self._database_url = database_url
        self._deliver = deliver
        self._kicked = asyncio.Event()
        self._stopping = False
        self.ready = asyncio.Event()

    def kick(self) -> None:
        """Poll now: something was written."""
        self._kicked.set()

    def stop(self) -> None:
        """Let `run` end after the poll under way."""
        self._stopping = True
        self.kick()

    async def run(self) -> None:
        """Follow the log until stopped; errors of the database start over with a new slot."""
        while not self._stopping:
            try:
                await self._follow()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("change capture lost its slot, starting over: %s", error)
                self._kicked.clear()  # a kick does not bring PostgreSQL back sooner
                await self._pause(RECONNECT_S)

    async def _follow(self) -> None:
        async with self._slot() as (connection, name):
            self.ready.set()
            decoder = Decoder()
            while not self._stopping:
                self._kicked.clear()
                messages = await connection.fetch(TAKE, name, PUBLICATION)
                changes = [change for message in messages if (change := decoder.feed(message["data"]))]
                if changes:
                    await self._deliver(changes)
                if not messages:
                    await self._pause(POLL_S)

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
            self.ready.clear()
            connection.terminate()

    async def _pause(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._kicked.wait()
        except TimeoutError:
            return

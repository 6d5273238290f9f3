"""A crash of PostgreSQL is survived: sockets stay open, and what is written afterwards arrives again."""

from __future__ import annotations

import asyncio
import os
import signal

import asyncpg

from devstack.faults import Faults
from devstack.live.server import RealtimeServer
from devstack.postgres.cluster import start_cluster
from devstack.postgres.prepare import prepare_database
from devstack.tokens import ProjectKeys
from tests.devstack.live.conftest import SCHEMA, Live, serving

ROWS = {"event": "*", "schema": "public", "table": "rows"}


async def connected(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """Connect as soon as PostgreSQL is back."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await asyncpg.connect(dsn)
            except (asyncpg.PostgresError, OSError):
                await asyncio.sleep(0.02)


async def test_changes_arrive_again_on_the_same_socket_after_a_crash() -> None:
    with start_cluster() as cluster:
        await prepare_database(cluster.dsn(), migrate=False)
        connection = await connected(cluster.dsn())
        await connection.execute(SCHEMA)
        server = RealtimeServer(cluster.dsn(), ProjectKeys.generate(), Faults(subscribe_delay_s=0))
        await server.start()
        async with serving(server) as url:
            live = Live(server, server._keys, server._faults, url)
            async with live.client() as before, live.client() as after:
                await before.subscribe("a", ROWS)
                os.kill(await connection.fetchval("select pg_backend_pid()"), signal.SIGKILL)
                await connection.close(timeout=1)
                connection = await connected(cluster.dsn())
                assert (await after.subscribe("b", ROWS))["status"] == "ok"
                await connection.execute("insert into rows (prompt) values ('after')")
                assert (await before.change())["record"]["prompt"] == "after"
                assert (await after.change())["record"]["prompt"] == "after"
        await connection.close()

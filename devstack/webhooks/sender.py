"""Empties the queue of net.http_request_queue as pg_net's background worker does.

A batch is one transaction: taken, sent all at once, answered, committed; the next one comes after the slowest answer
and a pause. Nothing is tried again. Who is killed in the middle of a batch sends it again when he comes back, unless
PostgreSQL itself crashed: then the queue is empty. Knows nothing of HTTP.
Source: pg_net 0.20, src/worker.c; batch, pause and lifetime are its defaults.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple
from typing import TypeAlias

import aiohttp
import asyncpg

from devstack.webhooks.request import Outcome, Request, send

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
log = logging.getLogger(__name__)

BATCH = 200
PAUSE_S = 1.0
KEPT = "6 hours"
RECONNECT_S = 0.2
CHANNEL = "pg_net"
SESSION = {"application_name": "pg_net (devstack)", "timezone": "UTC"}

EXPIRE = f"delete from net._http_response where created < now() - interval '{KEPT}'"  # noqa: S608 - a constant
TAKE = """
delete from net.http_request_queue as queued
using (select id from net.http_request_queue order by id limit $1) as first
where queued.id = first.id
returning queued.id, queued.method, queued.url, queued.headers, queued.body, queued.timeout_milliseconds
"""
ANSWER = """
insert into net._http_response (id, status_code, content_type, headers, content, timed_out, error_msg)
values ($1, $2, $3, $4::text::jsonb, $5, $6, $7)
"""


class Sender:
    """Sends what transactions of one database have queued."""

    def __init__(self, database_url: str, pause_s: float = PAUSE_S) -> None:
        self._database_url = database_url
        self._pause_s = pause_s

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send while the block runs; what is under way at its end is sent again by whoever comes next."""
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._run())
            try:
                yield
            finally:
                sending.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                log.warning("the sender of webhooks lost the database, starting over: %s", error)
            await asyncio.sleep(RECONNECT_S)

    async def _serve(self) -> None:
        connection = await asyncpg.connect(self._database_url, server_settings=SESSION)
        woken = asyncio.Event()
        connection.add_termination_listener(lambda _connection: woken.set())
        try:
            await connection.add_listener(CHANNEL, lambda *_: woken.set())
            async with aiohttp.ClientSession() as session:
                while not connection.is_closed():
                    woken.clear()
                    if await self._send_batch(connection, session):
                        await asyncio.sleep(self._pause_s)
                    else:
                        await woken.wait()
        finally:
            connection.terminate()

    async def _send_batch(self, connection: Connection, session: aiohttp.ClientSession) -> int:
        """One batch; how many requests it held."""
        async with connection.transaction():
            await connection.execute(EXPIRE)
            requests = [_request(row) for row in await connection.fetch(TAKE, BATCH)]
            outcomes = await asyncio.gather(*(send(session, request) for request in requests))
            await connection.executemany(ANSWER, [_row(outcome) for outcome in outcomes])
        return len(requests)


def _request(row: asyncpg.Record) -> Request:
    given = json.loads(row["headers"] or "{}")
    headers = None
    if isinstance(given, dict):
        headers = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    return Request(row["id"], row["method"], row["url"], headers, row["body"], row["timeout_milliseconds"])


def _row(outcome: Outcome) -> tuple[object, ...]:
    number, status, content_type, headers, content, timed_out, error = astuple(outcome)
    told = None if headers is None else json.dumps(headers)
    return number, status, content_type, told, content, timed_out, error

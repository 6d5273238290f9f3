"""A Realtime server on the test's database, and a client that shows every frame."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from devstack.faults import Faults
from devstack.live.limits import Limits
from devstack.live.server import RealtimeServer
from devstack.tokens import ProjectKeys

WITHIN_S = 10.0
OWNER = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER = "bbbbbbbb-0000-4000-8000-000000000002"
SCHEMA = """
create table public.rows (
  id uuid primary key default gen_random_uuid(), user_id uuid, status text not null default 'queued', prompt text,
  progress real default 0, attempts int not null default 0, params jsonb not null default '{}', tags text[],
  cost numeric(10,2), big text, done boolean, note json, created_at timestamptz not null default now());
grant select on public.rows to anon, authenticated, service_role;
create table public.owned (
  id uuid primary key default gen_random_uuid(), user_id uuid not null, status text not null default 'queued');
alter table public.owned enable row level security;
create policy own on public.owned for select to authenticated using (user_id = (select auth.uid()));
grant select on public.owned to anon, authenticated, service_role;
create table public.keyless (id int, v text);
alter table public.keyless replica identity full;
grant select on public.keyless to anon;
create table public.unpublished (id int primary key);
alter publication supabase_realtime add table public.rows, public.owned, public.keyless;
"""


@dataclass
class Client:
    """One websocket, as frames: [join_ref, ref, topic, event, payload] whatever the version."""

    socket: aiohttp.ClientWebSocketResponse
    version: str
    frames: list[list[Any]] = field(default_factory=list)
    _ref: int = 0

    async def push(self, topic: str, event: str, payload: Any, join_ref: str | None = None) -> str:
        self._ref += 1
        ref = str(self._ref)
        join_ref = ref if event == "phx_join" and join_ref is None else join_ref
        if self.version == "1.0.0":
            keys = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
            await self.socket.send_json(keys)
        else:
            await self.socket.send_json([join_ref, ref, topic, event, payload])
        return ref

    async def next(self) -> list[Any]:
        """The next frame, kept for later looks."""
        async with asyncio.timeout(WITHIN_S):
            message = await self.socket.receive()
        assert message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}, message
        if message.type == aiohttp.WSMsgType.BINARY:
            frame = [None, None, None, "binary", message.data]
        else:
            frame = json.loads(message.data)
        if isinstance(frame, dict):
            frame = [None, frame["ref"], frame["topic"], frame["event"], frame["payload"]]
        self.frames.append(frame)
        return frame

    async def until(self, event: str) -> Any:
        """The payload of the next frame of an event."""
        while (frame := await self.next())[3] != event:
            pass
        return frame[4]

    async def join(self, topic: str, *bindings: Any, token: str | None = None, **config: Any) -> Any:
        """Join; the reply."""
        payload = {"config": {"postgres_changes": list(bindings), **config}, "access_token": token}
        await self.push(f"realtime:{topic}", "phx_join", payload)
        return await self.until("phx_reply")

    async def subscribe(self, topic: str, *bindings: Any, token: str | None = None) -> Any:
        """Join and wait until the database listens; the `system` payload."""
        reply = await self.join(topic, *bindings, token=token)
        assert reply["status"] == "ok", reply
        return await self.until("system")

    async def change(self) -> dict[str, Any]:
        """The data of the next change."""
        data: dict[str, Any] = (await self.until("postgres_changes"))["data"]
        return data

    async def silent(self) -> bool:
        """True when nothing was sent before the answer to a heartbeat."""
        await self.push("phoenix", "heartbeat", {})
        return (await self.next())[2] == "phoenix"


@dataclass
class Live:
    """A running server and how to reach it."""

    server: RealtimeServer
    keys: ProjectKeys
    faults: Faults
    url: str

    def user(self, subject: str = OWNER, **claims: Any) -> str:
        return self.keys.mint({"role": "authenticated", "sub": subject, **claims}, valid_s=60)

    @asynccontextmanager
    async def client(self, version: str = "1.0.0", token: str | None = None) -> AsyncIterator[Client]:
        query = {"apikey": token or self.keys.anon_key, "vsn": version}
        async with aiohttp.ClientSession() as session, session.ws_connect(self.url, params=query) as socket:
            yield Client(socket, version)


@asynccontextmanager
async def serving(server: RealtimeServer) -> AsyncIterator[str]:
    """Serve a started server on a free port; its URL."""
    app = web.Application()
    app.add_routes(server.routes())
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}/realtime/v1/websocket"
        await server.close()
    finally:
        await runner.cleanup()


@pytest.fixture
async def tables(connection: asyncpg.Connection[asyncpg.Record]) -> asyncpg.Connection[asyncpg.Record]:
    """The superuser's connection, with the tables of these tests."""
    await connection.execute(SCHEMA)
    return connection


@asynccontextmanager
async def running(
    database_url: str, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Live]:
    """A Realtime server with no delay before subscriptions."""
    keys, faults = ProjectKeys.generate(), Faults(subscribe_delay_s=0)
    server = RealtimeServer(database_url, keys, faults, limits, clock)
    await server.start()
    async with serving(server) as url:
        yield Live(server, keys, faults, url)


@pytest.fixture
async def live(tables: Any, database_url: str) -> AsyncIterator[Live]:
    """A Realtime server on the test's database."""
    async with running(database_url) as found:
        yield found


@pytest.fixture
def written(live: Live, tables: asyncpg.Connection[asyncpg.Record]) -> Callable[..., Any]:
    """Run a statement as the gateway does: commit, then kick."""

    async def write(sql: str, *arguments: Any) -> Any:
        value = await tables.fetchval(sql, *arguments)
        live.server.kick()
        return value

    return write

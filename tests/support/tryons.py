"""What an app of try-ons does: upload pictures, insert rows of a user or a store, look at them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from aiohttp import web
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from tests.support.app import TERMINAL, signed_in
from tests.support.photographs import garment, person
from tests.support.target import Place, target_of

USERS = "generation_sessions"
STORES = "store_generation_sessions"


@dataclass
class User:
    """A signed-in user, as his app sees him."""

    client: AsyncClient
    id: str

    async def upload(self, data: bytes, name: str = "") -> str:
        """Put a picture into his own folder of the bucket uploads; its path."""
        path = f"{self.id}/{name or uuid4()}.jpg"
        await self.client.storage.from_("uploads").upload(path, data, {"content-type": "image/jpeg"})
        return path

    async def order(self, *sources: str, **fields: Any) -> str:
        """Insert a try-on; its row id."""
        answer = await self.client.table(USERS).insert({"image_urls": list(sources), **fields}).execute()
        return str(answer.data[0]["id"])

    async def row(self, row_id: str, table: str = USERS) -> dict[str, Any]:
        """The row as he sees it."""
        found = await self.client.table(table).select("*").eq("id", row_id).single().execute()
        data: dict[str, Any] = found.data
        return data

    async def ended(self, row_id: str, table: str = USERS, within_s: float = 60.0) -> dict[str, Any]:
        """The row when it is completed, failed or cancelled."""
        async with asyncio.timeout(within_s):
            while (row := await self.row(row_id, table))["status"] not in TERMINAL:
                await asyncio.sleep(0.05)
        return row

    async def balance(self) -> int:
        """His credits."""
        return int((await self.client.rpc("credit_balance").execute()).data)


async def a_user(place: Place) -> User:
    """A new user."""
    client = await signed_in(place)
    session = await client.auth.get_session()
    assert session is not None
    await client.realtime.set_auth(session.access_token)
    return User(client, session.user.id)


@dataclass
class Store:
    """A store as the app's own server sees it, and one of its members."""

    id: str
    member: User
    server: AsyncClient = field(repr=False)

    async def order(self, *sources: str, **fields: Any) -> str:
        """Insert a try-on that the store pays; its row id."""
        row = {"store_id": self.id, "image_urls": list(sources), **fields}
        answer = await self.server.table(STORES).insert(row).execute()
        return str(answer.data[0]["id"])

    async def upload(self, data: bytes) -> str:
        """Put a picture into the store's folder of the bucket uploads; its path."""
        path = f"{self.id}/{uuid4()}.jpg"
        await self.server.storage.from_("uploads").upload(path, data, {"content-type": "image/jpeg"})
        return path

    async def ended(self, row_id: str) -> dict[str, Any]:
        """The finished row, as the member sees it."""
        return await self.member.ended(row_id, STORES)


async def a_store(place: Place, name: str) -> Store:
    """A new store with one member."""
    project = target_of(place)
    http = httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_keepalive_connections=0))
    options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
    server = await acreate_client(project.url, project.service_role_key, options)
    made = await server.table("stores").insert({"name": name}).execute()
    store = Store(str(made.data[0]["id"]), await a_user(place), server)
    await server.table("store_members").insert({"store_id": store.id, "user_id": store.member.id}).execute()
    return store


@dataclass
class Shop:
    """A web server with photographs, and some paths that no honest shop has."""

    port: int
    asked: list[str]

    def url(self, path: str) -> str:
        """Where it serves a path."""
        return f"http://127.0.0.1:{self.port}/{path}"

    @property
    def host(self) -> str:
        """As LISTENER_FETCH_ALLOW_HOSTS names it."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def a_shop() -> AsyncIterator[Shop]:
    """A shop on this machine."""
    asked: list[str] = []

    shelves = {
        "/person.jpg": (200, "image/jpeg", person()),
        "/suit.jpg": (200, "image/jpeg", garment()),
        "/page.jpg": (200, "text/html", b"<html>"),
        "/broken.jpg": (200, "image/jpeg", b"\xff\xd8\xff no picture"),
        "/moved.jpg": (302, "text/plain", b""),
        "/away.jpg": (503, "text/plain", b""),
    }

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        status, content_type, body = shelves.get(request.path, (404, "text/plain", b""))
        return web.Response(status=status, content_type=content_type, body=body, headers={"Location": "/suit.jpg"})

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    sockets = getattr(site._server, "sockets", [])
    try:
        yield Shop(sockets[0].getsockname()[1], asked)
    finally:
        await runner.cleanup()

"""Stores that call the HTTP API, and partners that are told: made by the operators' own calls, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook
from supabase import AsyncClient

from handlers.tryon.params import TryonParams
from listener.adapters.desk import SupabaseDesk
from listener.adapters.key_ring import SupabaseKeyRing
from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.operator import Operator
from listener.adapters.supabase_clients import open_clients
from listener.engine.clock import SystemClock
from listener.http.callers import Callers
from listener.http.server import serving
from listener.http.sessions import SessionsApi
from listener.http.shown import Showing
from tests.support.target import Place, target_of

TRYON = "/api/sessions/tryon"
COAT = {"image_urls": ["https://pictures.example/person.jpg", "https://pictures.example/coat.jpg"], "prompt": "a coat"}


@dataclass
class Answer:
    """What the API said."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def data(self) -> Any:
        return self.body["data"]

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])


@dataclass
class StoreCaller:
    """One store's server: its key, and the API where it calls."""

    id: UUID
    key_id: UUID
    key: str = field(repr=False)
    http: aiohttp.ClientSession = field(repr=False)

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Answer:
        """One request with the store's key."""
        given = {"Authorization": f"Bearer {self.key}"} | (headers or {})
        async with self.http.request(method, path, headers=given, **options) as answer:
            return Answer(answer.status, await answer.json(), answer.headers.copy())

    async def submit(self, payload: Any = COAT, key: str | None = None, path: str = TRYON) -> Answer:
        """POST one session, or an array."""
        return await self.ask("POST", path, {"Idempotency-Key": key} if key else None, json=payload)

    async def get(self, path: str) -> Answer:
        return await self.ask("GET", path)

    async def cancel(self, session: str) -> Answer:
        return await self.ask("POST", f"/api/sessions/{session}/cancel")

    async def credits(self) -> int:
        return int((await self.get("/api/credits")).data["credits"])


@dataclass
class Street:
    """The API on a port of its own, and whoever moves in."""

    url: str
    operator: Operator = field(repr=False)
    client: AsyncClient = field(repr=False)
    http: aiohttp.ClientSession = field(repr=False)

    async def store(self, credits: int = 10, per_minute: int = 1000) -> StoreCaller:
        """A store with a key and so many credits."""
        made = await self.operator.stores.create("Coats & Co")
        key = await self.operator.stores.create_key(made.id, "test", per_minute)
        welcome = int((await self.client.rpc("owner_credits", {"p_owner": str(made.id)}).execute()).data)
        if credits > welcome:
            await self.operator.grant(made.id, credits - welcome, f"test:{uuid4()}", "test")
        return StoreCaller(made.id, key.id, key.key, self.http)


@asynccontextmanager
async def street_on(place: Place, url: str = "", origins: tuple[str, ...] = ()) -> AsyncIterator[Street]:
    """Serve the API; with a `url`, the API reaches the project there."""
    target = target_of(place)
    clock = SystemClock()
    async with (
        open_clients(target.url, target.service_role_key, 4) as plain,
        open_clients(url or target.url, target.service_role_key, 4) as clients,
    ):
        callers = Callers(SupabaseKeyRing(clients.calls))
        showing = Showing(SupabaseArtifactStore(clients), clock, 3600)
        api = SessionsApi(callers, SupabaseDesk(clients, clock), showing, {"tryon": TryonParams})
        async with (
            serving("127.0.0.1", 0, api.routes(), origins=origins) as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        ):
            yield Street(f"http://127.0.0.1:{port}", Operator(plain.calls), plain.calls, http)


@asynccontextmanager
async def at_worker(place: Place, worker_url: str) -> AsyncIterator[Street]:
    """The API of a running worker."""
    target = target_of(place)
    async with (
        open_clients(target.url, target.service_role_key, 4) as clients,
        aiohttp.ClientSession(worker_url) as http,
    ):
        yield Street(worker_url, Operator(clients.calls), clients.calls, http)


@dataclass
class Partner:
    """A partner's server: what it got, whether it was ours, and what it answers."""

    url: str = ""
    secret: str = field(default="", repr=False)
    answers: list[int] = field(default_factory=list)
    got: list[tuple[str, Any]] = field(default_factory=list)
    """The webhook-id and the verified body of each."""
    connected: int = 0
    hold: asyncio.Event | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: web.Request) -> web.Response:
        """Verify with the official library, keep, answer."""
        self.connected += 1
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        verified = Webhook(self.secret).verify(body, headers) if self.secret else None
        self.got.append((headers["webhook-id"], verified))
        self._changed.set()
        if self.hold is not None:
            await self.hold.wait()
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"Location": f"{self.url}/elsewhere"} if status == 302 else None)

    async def until(self, count: int, within_s: float = 30.0) -> None:
        """Wait until so many came."""
        async with asyncio.timeout(within_s):
            while len(self.got) < count:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def open_partner() -> AsyncIterator[Partner]:
    """A partner on a port of its own."""
    partner = Partner()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", partner.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        partner.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield partner
    finally:
        await runner.cleanup()

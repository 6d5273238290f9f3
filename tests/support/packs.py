"""Users of the app who call the HTTP API for their characters and packs, with the tokens that sign-in gave them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
from supabase import AsyncClient

from handlers.pack.params import PackParams
from listener.adapters.destinations import Policy
from listener.adapters.outbound import open_outbound
from listener.adapters.supabase_clients import open_clients
from listener.adapters.user_desk import SupabaseUserDesk
from listener.adapters.user_tokens import SigningKeys, UserTokens
from listener.engine.clock import SystemClock
from listener.http.characters import Faces
from listener.http.packs import PacksApi
from listener.http.server import serving
from listener.http.users import Users
from tests.support.app import signed_in
from tests.support.stores import Answer
from tests.support.target import Place, target_of

CONFIG = {"age_range": [25, 32], "hair_color": "auburn", "hair_style": "curly", "outfit_style": "linen suit"}
CHARACTER = {"name": "Ada", "config": CONFIG, "style": {"seed": 7, "style_strength": 0.6}}


@dataclass
class Visitor:
    """A signed-in user, and the API where he calls."""

    id: UUID
    token: str = field(repr=False)
    client: AsyncClient = field(repr=False)
    http: aiohttp.ClientSession = field(repr=False)

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any) -> Answer:
        """One request with the user's token."""
        given = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        async with self.http.request(method, path, headers=given, **options) as answer:
            return Answer(answer.status, await answer.json(), answer.headers.copy())

    async def create(self, body: Any = CHARACTER, key: str | None = None) -> Answer:
        """POST a character."""
        return await self.ask("POST", "/api/characters", {"Idempotency-Key": key} if key else None, json=body)

    async def generate(self, body: Any, key: str | None = None) -> Answer:
        """POST a job."""
        return await self.ask("POST", "/api/generate", {"Idempotency-Key": key} if key else None, json=body)

    async def pack(self, image_count: int = 5) -> str:
        """A job of a new character; its id."""
        character = (await self.create()).body["character_id"]
        made = await self.generate({"character_id": character, "image_count": image_count})
        assert made.status == 201, made.body
        return str(made.body["job_id"])

    async def credits(self) -> int:
        return int((await self.client.rpc("credit_balance").execute()).data)


@dataclass
class Studio:
    """The API of packs on a port of its own, and whoever comes."""

    place: Place
    http: aiohttp.ClientSession = field(repr=False)

    async def visitor(self) -> Visitor:
        """A new user."""
        client = await signed_in(self.place)
        session = await client.auth.get_session()
        assert session is not None
        return Visitor(UUID(session.user.id), session.access_token, client, self.http)


@asynccontextmanager
async def studio_of(place: Place, worker_url: str) -> AsyncIterator[Studio]:
    """The API of a running worker."""
    async with aiohttp.ClientSession(worker_url) as http:
        yield Studio(place, http)


@asynccontextmanager
async def studio_on(place: Place, url: str = "", allow: frozenset[str] = frozenset()) -> AsyncIterator[Studio]:
    """Serve the API; with a `url`, the API reaches the project there. `allow` names hosts that may be private."""
    target, clock = target_of(place), SystemClock()
    url = url or target.url
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(open_clients(url, target.service_role_key, 4))
        outbound = await stack.enter_async_context(open_outbound(Policy(allow_hosts=allow)))
        desk = SupabaseUserDesk(url, target.service_role_key, clients)
        users = Users(UserTokens(SigningKeys(url, clients.calls.postgrest.session, clock), None))
        api = PacksApi(users, desk, Faces(outbound, desk), PackParams, clock, signed_url_s=3600)
        port = await stack.enter_async_context(serving("127.0.0.1", 0, api.routes()))
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Studio(place, http)

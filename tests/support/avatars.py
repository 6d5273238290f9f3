"""Callers of the avatars' API, stores and users, and the forms that they send."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from listener.adapters.desk import SupabaseDesk
from listener.adapters.key_ring import SupabaseKeyRing
from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.operator import Operator
from listener.adapters.supabase_clients import open_clients
from listener.adapters.user_desk import SupabaseUserDesk
from listener.adapters.user_tokens import SigningKeys, UserTokens
from listener.avatars import build_avatars
from listener.contract import Handler
from listener.engine.clock import SystemClock
from listener.http.callers import Callers
from listener.http.customers import Customers
from listener.http.scratch import open_scratch
from listener.http.server import serving
from listener.http.session_list import SessionList
from listener.http.sessions import SessionsApi
from listener.http.shown import Showing
from listener.http.users import Users
from listener.settings import load_settings
from tests.support.packs import Studio, Visitor
from tests.support.photographs import person
from tests.support.stores import Answer, StoreCaller, Street
from tests.support.target import Place, target_of

HUM = b"\xb8\x0b" * 18 + b"\x48\xf4" * 18
"""One period."""
Guest = StoreCaller | Visitor


def sound(duration_s: float = 1.0, rate_hz: int = 16_000) -> bytes:
    """A hum, as a WAV."""
    frames = round(duration_s * rate_hz)
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((HUM * (frames * 2 // len(HUM) + 1))[: frames * 2])
    return made.getvalue()


def form(image: Any = None, audio: Any = None, **texts: str) -> aiohttp.FormData:
    """A form as a browser sends it: a portrait and a second of sound unless others are given."""
    made = aiohttp.FormData()
    files = ("image", person() if image is None else image), ("audio", sound() if audio is None else audio)
    for name, data in files:
        made.add_field(name, io.BytesIO(data) if isinstance(data, bytes) else data, filename="file")
    for name, text in texts.items():
        made.add_field(name, text)
    return made


async def order(guest: Guest, data: Any = None, key: str | None = None) -> Answer:
    """POST a form."""
    headers = {"Idempotency-Key": key} if key else None
    return await guest.ask("POST", "/generate", headers, data=form() if data is None else data)


@dataclass
class Stage:
    """The API on a port of its own, and whoever comes."""

    port: int
    place: Place
    street: Street = field(repr=False)
    scratch: Path = field(repr=False)

    async def store(self, credits: int = 10, per_minute: int = 1000) -> StoreCaller:
        """A store with a key and so many credits."""
        return await self.street.store(credits, per_minute)

    async def visitor(self) -> Visitor:
        """A new user."""
        return await Studio(self.place, self.street.http).visitor()

    async def credits(self, guest: Guest) -> int:
        """What a caller has left."""
        told: Any = (await self.street.client.rpc("owner_credits", {"p_owner": str(guest.id)}).execute()).data
        return int(told)

    def files(self) -> list[Path]:
        """What requests under way have on disk."""
        return [path for path in self.scratch.rglob("*") if path.is_file()]

    async def objects(self, guest: Guest) -> list[str]:
        """What lies in a caller's folder of the bucket `uploads`."""
        found: list[str] = []
        folders = [f"{guest.id}/avatars"]
        for folder in folders:
            for one in await self.street.client.storage.from_("uploads").list(folder):
                path = f"{folder}/{one['name']}"
                (folders if one["id"] is None else found).append(path)
        return found

    @asynccontextmanager
    async def wire(self, guest: Guest, length: int, *headers: str) -> AsyncIterator[Wire]:
        """A connection of our own, with the head of a request for a form of so many bytes sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        token = guest.key if isinstance(guest, StoreCaller) else guest.token
        lines = (
            "POST /generate HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {token}",
            "Content-Type: multipart/form-data; boundary=cut",
            f"Content-Length: {length}",
            *headers,
        )
        writer.write("\r\n".join((*lines, "", "")).encode())
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()


@dataclass
class Wire:
    """A connection on which a test says every byte itself."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def begin(self, data: bytes = b"", name: str = "image") -> None:
        """Send the head of a part, and some of its file."""
        self.writer.write(f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data)
        await self.writer.drain()

    async def status(self) -> int:
        """The status of the next answer."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])


@asynccontextmanager
async def stage_on(
    place: Place,
    folder: Path,
    url: str = "",
    origins: tuple[str, ...] = (),
    handlers: Mapping[str, Handler[Any]] | None = None,
    **settings: str,
) -> AsyncIterator[Stage]:
    """Serve the API; with a `url`, the API reaches the project there. Files of requests lie below `folder`."""
    target, clock = target_of(place), SystemClock()
    url = url or target.url
    given = {"SUPABASE_URL": url, "SUPABASE_SERVICE_ROLE_KEY": target.service_role_key, **settings}
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(open_clients(target.url, target.service_role_key, 4))
        clients = await stack.enter_async_context(open_clients(url, target.service_role_key, 16))
        tokens = UserTokens(SigningKeys(url, clients.calls.postgrest.session, clock), None)
        callers, desk = Callers(SupabaseKeyRing(clients.calls)), SupabaseDesk(clients, clock)
        user_desk = SupabaseUserDesk(url, target.service_role_key, clients)
        customers = Customers(callers, Users(tokens), desk, user_desk)
        artifacts = SupabaseArtifactStore(clients)
        sessions = SessionsApi(callers, desk, Showing(artifacts, clock, 3600), {})
        api = build_avatars(
            load_settings(given),
            handlers or {},
            customers=customers,
            desk=desk,
            artifacts=artifacts,
            scratch=stack.enter_context(open_scratch(folder)),
            clock=clock,
        )
        routes = [*api.routes(), *sessions.routes(), *SessionList(customers, desk).routes()]
        port = await stack.enter_async_context(serving("127.0.0.1", 0, routes, origins=origins))
        address = f"http://127.0.0.1:{port}"
        http = await stack.enter_async_context(aiohttp.ClientSession(address))
        street = Street(address, Operator(plain.calls), plain.calls, http)
        yield Stage(port, place, street, folder)

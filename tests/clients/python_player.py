"""Plays a scenario with supabase-py: each verb is a method, each user a client of its own. Judges nothing."""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack
from typing import Any

import httpx
from postgrest.exceptions import APIError
from storage3.exceptions import StorageApiError
from supabase import AsyncClient, AsyncClientOptions, acreate_client
from supabase_auth.errors import AuthError

from tests.clients.matching import filled
from tests.clients.python_listener import Listener
from tests.clients.scenario import Scenario, Transcript

PNG = b"\x89PNG\r\n\x1a\n"


async def play(scenario: Scenario, url: str, key: str) -> Transcript:
    """Every step, until one is refused that should not be."""
    known: dict[str, Any] = {"run": scenario.run}
    transcript: Transcript = []
    async with AsyncExitStack() as opened:
        users = _Users(url, key, opened)
        for step in scenario.steps:
            user = await users.named(step.get("by", "me"))
            arguments = {
                name: filled(value, known)
                for name, value in step.items()
                if name not in {"by", "do", "as", "expect", "refused"}
            }
            try:
                answer = await getattr(user, step["do"])(**arguments)
            except (APIError, StorageApiError, AuthError) as error:
                transcript.append({"refused": _told(error)})
                if "refused" not in step:
                    break
                continue
            transcript.append({"answer": answer})
            if "as" in step:
                known[step["as"]] = answer
    return transcript


def _told(error: APIError | StorageApiError | AuthError) -> dict[str, Any]:
    code = str(error.status) if isinstance(error, StorageApiError) else error.code
    return {"code": code, "message": error.message}


def _seen(content: bytes) -> dict[str, Any]:
    """What a scenario may ask of bytes."""
    facts: dict[str, Any] = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if content.startswith(PNG) and len(content) >= 24:
        facts["width"], facts["height"] = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    return facts


class User(Listener):
    """One user's client and what it may do."""

    def __init__(self, client: AsyncClient, http: httpx.AsyncClient) -> None:
        super().__init__(client)
        self.http = http

    async def _signed(self, answer: Any) -> dict[str, Any]:
        await self.client.realtime.set_auth(answer.session.access_token)
        return {"id": answer.user.id, "email": answer.user.email, "is_anonymous": answer.user.is_anonymous}

    async def sign_in_anonymously(self) -> dict[str, Any]:
        return await self._signed(await self.client.auth.sign_in_anonymously())

    async def sign_up(self, email: str, password: str) -> dict[str, Any]:
        return await self._signed(await self.client.auth.sign_up({"email": email, "password": password}))

    async def sign_in(self, email: str, password: str) -> dict[str, Any]:
        return await self._signed(await self.client.auth.sign_in_with_password({"email": email, "password": password}))

    async def refresh(self) -> dict[str, Any]:
        before = await self.client.auth.get_session()
        after = await self.client.auth.refresh_session()
        assert before
        assert after.session
        assert after.user
        return {"id": after.user.id, "is_new": after.session.refresh_token != before.refresh_token}

    async def user(self) -> dict[str, Any]:
        answer = await self.client.auth.get_user()
        assert answer
        return {"id": answer.user.id, "role": answer.user.role}

    async def sign_out(self) -> None:
        await self.client.auth.sign_out()

    async def insert(self, table: str, row: dict[str, Any]) -> Any:
        return (await self.client.table(table).insert(row).execute()).data[0]

    async def insert_many(self, table: str, rows: list[Any]) -> Any:
        return (await self.client.table(table).insert(rows).execute()).data

    async def update(self, table: str, values: dict[str, Any], where: list[Any]) -> Any:
        return (await _where(self.client.table(table).update(values), where).execute()).data

    async def delete(self, table: str, where: list[Any]) -> Any:
        return (await _where(self.client.table(table).delete(), where).execute()).data

    async def select(
        self,
        table: str,
        *,
        columns: str = "*",
        where: list[Any] | None = None,
        order: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        one: bool = False,
    ) -> Any:
        query: Any = _where(self.client.table(table).select(columns), where or [])
        if order:
            query = query.order(order, desc=descending)
        if limit:
            query = query.limit(limit)
        return (await (query.single() if one else query).execute()).data

    async def count(self, table: str, where: list[Any]) -> int | None:
        query: Any = self.client.table(table).select("*", count="exact", head=True)  # type: ignore[arg-type]
        counted: int | None = (await _where(query, where).execute()).count
        return counted

    async def rpc(self, function: str, arguments: dict[str, Any] | None = None) -> Any:
        return (await self.client.rpc(function, arguments or {}).execute()).data

    async def upload(
        self, bucket: str, path: str, png: int = 0, text: str = "", content_type: str = "image/png"
    ) -> dict[str, Any]:
        content = PNG.ljust(png, b"\0") if png else text.encode()
        await self.client.storage.from_(bucket).upload(path, content, {"content-type": content_type})
        return {"path": path}

    async def download(self, bucket: str, path: str) -> dict[str, Any]:
        return _seen(await self.client.storage.from_(bucket).download(path))

    async def list(self, bucket: str, folder: str) -> Any:
        return await self.client.storage.from_(bucket).list(folder)

    async def remove(self, bucket: str, paths: Any) -> Any:
        return await self.client.storage.from_(bucket).remove(paths)

    async def sign_url(self, bucket: str, path: str, valid_s: int) -> dict[str, Any]:
        return {"url": (await self.client.storage.from_(bucket).create_signed_url(path, valid_s))["signedURL"]}

    async def fetch(self, url: str) -> dict[str, Any]:
        answer = await self.http.get(url)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        return {"status": answer.status_code, "content_type": kind, **_seen(answer.content)}


def _where(query: Any, conditions: list[Any]) -> Any:
    for column, operator, value in conditions:
        name = {"in": "in_", "is": "is_"}.get(operator, operator)
        query = getattr(query, name)(column, value)
    return query


class _Users:
    def __init__(self, url: str, key: str, opened: AsyncExitStack) -> None:
        self.url, self.key, self.opened = url, key, opened
        self.made: dict[str, User] = {}

    async def named(self, name: str) -> User:
        if name not in self.made:
            http = await self.opened.enter_async_context(httpx.AsyncClient(http2=False, timeout=20))
            options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
            client = await acreate_client(self.url, self.key, options)
            self.opened.push_async_callback(client.remove_all_channels)
            self.made[name] = User(client, http)
        return self.made[name]

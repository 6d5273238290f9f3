"""The official client as the service and as a user, and raw requests beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError

from devstack.stack import Stack

USER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
PNG = b"\x89PNG\r\n\x1a\n and some more"
AS_PNG: Any = {"content-type": "image/png"}
EXISTS = ("409", "Duplicate", "The resource already exists")
HIDDEN = ("404", "not_found", "Object not found")
REFUSED = ("403", "Unauthorized", "new row violates row-level security policy")


@dataclass
class Storage:
    """What the tests of Storage hold in their hands; `folder` is where the bytes lie."""

    service: AsyncStorageClient
    user: AsyncStorageClient
    http: httpx.AsyncClient
    stack: Stack
    folder: Path
    database: asyncpg.Connection[asyncpg.Record]

    def files(self) -> int:
        return len(list(self.folder.iterdir()))

    def token(self, role: str = "service_role", **claims: object) -> dict[str, str]:
        token = self.stack.keys.mint({"role": role, **claims}, 3600)
        return {"Authorization": f"Bearer {token}"}

    async def raw(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request as the service, unless it brings its own headers of who it is."""
        headers = {**self.token(), **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)

    async def allow(self, command: str) -> None:
        """Let users do this with what lies in the folder of their id, in the bucket gen."""
        rule = "(bucket_id = 'gen' and (storage.foldername(name))[1] = (select auth.uid())::text)"
        clause = f"with check {rule}" if command == "insert" else f"using {rule}"
        policy = f"create policy may_{command} on storage.objects for {command} to authenticated {clause}"
        await self.database.execute(policy)


def said(error: pytest.ExceptionInfo[StorageApiError]) -> tuple[str, str, str]:
    """Status, word and message of a refusal, as supabase-py tells them."""
    return str(error.value.status), str(error.value.code), error.value.message

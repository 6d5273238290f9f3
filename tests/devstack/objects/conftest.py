"""A stack with the bucket gen, where users may insert into and read from the folder of their id."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from storage3 import AsyncStorageClient

from devstack.stack import Stack
from tests.devstack.objects.asking import USER, Storage


@pytest.fixture
async def storage(stack: Stack, connection: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[Storage]:
    url = f"{stack.url}/storage/v1"
    user = stack.keys.mint({"role": "authenticated", "sub": USER}, 3600)
    async with httpx.AsyncClient() as one, httpx.AsyncClient() as two, httpx.AsyncClient(base_url=url) as raw:

        def client(token: str, http: httpx.AsyncClient) -> AsyncStorageClient:
            headers = {"Authorization": f"Bearer {token}", "apiKey": stack.keys.anon_key}
            return AsyncStorageClient(f"{url}/", headers, http_client=http)

        service = client(stack.keys.service_role_key, one)
        await service.create_bucket("gen", options={"public": False})
        made = Storage(service, client(user, two), raw, stack, tmp_path, connection)
        for command in ("insert", "select"):
            await made.allow(command)
        yield made

"""A small schema behind the REST API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from devstack.stack import Stack
from tests.devstack.rest.raw import Rest


@pytest.fixture
async def rest(stack: Stack, connection: asyncpg.Connection) -> AsyncIterator[Rest]:
    await connection.execute(Path(__file__).with_name("schema.sql").read_text())
    key = {"apikey": stack.keys.anon_key}
    async with httpx.AsyncClient(base_url=f"{stack.url}/rest/v1", headers=key) as client:
        yield Rest(client, stack)

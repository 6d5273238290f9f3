"""What an app does: sign in, insert a session row, look at it until it is terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from tests.support.target import Place, target_of

TERMINAL = {"completed", "failed", "cancelled"}
TABLE = "headshot_sessions"


async def signed_in(place: Place) -> AsyncClient:
    """A client of a new anonymous user."""
    project = target_of(place)
    # Its own HTTP client warns of its own arguments; one without kept connections leaves no open socket to a test.
    http = httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_keepalive_connections=0))
    options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
    client = await acreate_client(project.url, project.anon_key, options)
    await client.auth.sign_in_anonymously()
    return client


async def insert(client: AsyncClient, prompt: str = "a calm portrait", **fields: Any) -> str:
    """Insert one session; its row id."""
    answer = await client.table(TABLE).insert({"prompt": prompt, **fields}).execute()
    return str(answer.data[0]["id"])


async def row(client: AsyncClient, row_id: str) -> dict[str, Any]:
    """The row as its owner sees it."""
    found = await client.table(TABLE).select("*").eq("id", row_id).single().execute()
    data: dict[str, Any] = found.data
    return data


async def until_row(
    client: AsyncClient, row_id: str, seen: Callable[[dict[str, Any]], Any], within_s: float = 90.0
) -> dict[str, Any]:
    """Read the row until it is as wanted."""
    async with asyncio.timeout(within_s):
        while True:
            current = await row(client, row_id)
            if seen(current):
                return current
            await asyncio.sleep(0.05)


async def until_terminal(client: AsyncClient, row_id: str, within_s: float = 90.0) -> dict[str, Any]:
    """Read the row until it is completed, failed or cancelled."""
    return await until_row(client, row_id, lambda current: current["status"] in TERMINAL, within_s)

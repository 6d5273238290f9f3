"""More calls at once than there are connections: they wait in line, however long the pool would let them."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from aiohttp import web

from listener.adapters import supabase_clients
from listener.adapters.supabase_clients import open_clients
from listener.http.server import serving

SLOTS, SPARE = 2, 8
CALLS = 5 * (SLOTS + SPARE)


async def test_calls_wait_for_a_connection_for_longer_than_a_pool_would_let_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supabase_clients, "CALLS", httpx.Timeout(10.0, pool=0.1))
    inside = most = 0

    async def slow(_request: web.Request) -> web.Response:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.1)  # what the call takes
        inside -= 1
        return web.json_response({})

    async with serving("127.0.0.1", 0, [web.get("/slow", slow)]) as port:
        url = f"http://127.0.0.1:{port}"
        async with open_clients(url, "a-key-of-at-least-20-characters", SLOTS) as clients:
            http = clients.calls.postgrest.session
            answers = await asyncio.gather(*(http.get(f"{url}/slow") for _ in range(CALLS)))
    assert {answer.status_code for answer in answers} == {200}
    assert most == SLOTS + SPARE

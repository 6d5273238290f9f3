"""The official clients drive the whole path of a running `listener dev`: sign in, insert, Realtime, the picture."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from PIL import Image
from realtime import RealtimePostgresChangesListenEvent as Change
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from listener.adapters.app_client import AppAccess, NoCreditsError, UnreachableError, open_app
from tests.support.node import run_node
from tests.support.project import Project

TABLE = "headshot_sessions"
TERMINAL = {"completed", "failed", "cancelled"}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(http2=False, timeout=20) as opened:
        yield opened


@pytest.fixture
async def client(project: Project, http: httpx.AsyncClient) -> AsyncIterator[AsyncClient]:
    """The official client of a new anonymous user."""
    made = await acreate_client(project.url, project.anon_key, AsyncClientOptions(httpx_client=http))
    signed_in = await made.auth.sign_in_anonymously()
    assert signed_in.session
    await made.realtime.set_auth(signed_in.session.access_token)
    yield made
    await made.remove_all_channels()
    await made.auth.sign_out({"scope": "local"})


async def changes_of(client: AsyncClient, row_id: str) -> asyncio.Queue[dict[str, Any]]:
    """Subscribe to the row's changes, and return when the subscription lives."""
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    live = asyncio.Event()
    channel = client.channel(f"row-{row_id}")
    channel.on_postgres_changes(
        Change.All,
        lambda change: heard.put_nowait(change["data"]["record"]),  # type: ignore[index, arg-type]
        table=TABLE,
        schema="public",
        filter=f"id=eq.{row_id}",
    )
    channel.on_system(lambda _: live.set())
    await channel.subscribe()
    await live.wait()
    return heard


async def test_supabase_py_drives_the_whole_path(client: AsyncClient, http: httpx.AsyncClient) -> None:
    row_id = str(uuid4())
    async with asyncio.timeout(45):
        heard = await changes_of(client, row_id)
        await client.table(TABLE).insert({"id": row_id, "prompt": "a portrait by supabase-py"}).execute()
        rows = [await heard.get()]
        while rows[-1]["status"] not in TERMINAL:
            rows.append(await heard.get())
    statuses = [row["status"] for row in rows]
    assert statuses[0] == "queued"
    assert "processing" in statuses
    assert statuses[-1] == "completed", rows[-1]
    assert [row["version"] for row in rows] == sorted({row["version"] for row in rows})

    artifact = rows[-1]["result"]["artifacts"][0]
    answer = await http.get(artifact["url"])
    assert answer.headers["content-type"] == "image/png"
    image = Image.open(io.BytesIO(answer.content))
    assert image.size == (artifact["width"], artifact["height"]) == (128, 128)
    assert await client.storage.from_(artifact["bucket"]).download(artifact["path"]) == answer.content
    balance = await client.rpc("credit_balance").execute()
    assert balance.data == 9


async def test_supabase_js_drives_the_whole_path(project: Project) -> None:
    printed = await run_node(
        "tests/clients/whole_path.mjs",
        within_s=80,
        SUPABASE_URL=project.url,
        SUPABASE_ANON_KEY=project.anon_key,
    )
    told = json.loads(printed.splitlines()[-1])
    assert told["balance"] == 9


async def test_without_credits_the_insert_is_refused_in_words(project: Project) -> None:
    connection = await asyncpg.connect(project.db_url)
    try:
        await connection.execute("update listener.plans set welcome_credits = 0 where plan = 'free'")
        with pytest.raises(NoCreditsError, match="no credits left"):
            async with open_app(AppAccess(project.url, project.anon_key)) as app:
                await app.insert({"prompt": "unpayable"})
    finally:
        await connection.execute("update listener.plans set welcome_credits = 10 where plan = 'free'")
        await connection.close()


async def test_a_project_that_does_not_answer_is_named(unused_tcp_port: int) -> None:
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{unused_tcp_port} does not answer"):
        async with open_app(AppAccess(f"http://127.0.0.1:{unused_tcp_port}", "key")):
            pass

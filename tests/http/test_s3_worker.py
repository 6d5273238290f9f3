"""A whole worker whose results lie on S3: the URL in the row opens, what is over goes, what is wrong has a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from devstack.stack import Stack
from tests.support.app import insert, signed_in, until_terminal
from tests.support.commands import listener
from tests.support.generators import Grey, install
from tests.support.probing import read, sample, until
from tests.support.s3 import KEY_ID, SECRET, Door
from tests.support.worker import running_worker

HERE = {"LISTENER_S3_BUCKETS": "headshots"}
BRISK = {"LISTENER_SOURCES": "sweep", "LISTENER_SWEEP_S": "0.3", "LISTENER_LEASE_S": "6", **HERE}


@pytest.fixture
def grey(tmp_path: Path) -> Grey:
    return install(tmp_path / "site")


@pytest.fixture
async def client(stack: Stack) -> AsyncClient:
    return await signed_in(stack)


def keys_of(row: dict[str, Any]) -> set[str]:
    """The keys of what a row shows, thumbnails too."""
    shown = row["result"]["artifacts"]
    paths = [one[name] for one in shown for name in ("path", "thumbnail_path") if one[name]]
    return {f"headshots/{path}" for path in paths}


async def test_a_result_lies_on_s3_its_url_opens_without_a_key_and_it_goes_with_its_row(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any], grey: Grey, door: Door
) -> None:
    settings = {**BRISK, **grey.settings, **door.settings, "LOG_LEVEL": "DEBUG"}
    async with running_worker(stack, **settings) as worker:
        row_id = await insert(client)
        row = await until_terminal(client, row_id)
        assert row["status"] == "completed", row
        (shown,) = row["result"]["artifacts"]
        assert shown["url"].startswith(f"{door.url}/{door.bucket}/headshots/")
        async with httpx.AsyncClient() as stranger:
            opened = await stranger.get(shown["url"])
            assert (opened.status_code, opened.headers["content-type"]) == (200, shown["content_type"])
            assert len(opened.content) == shown["size_bytes"]
            door.ahead_s = 6 * 3600 + 60
            assert (await stranger.get(shown["url"])).status_code == 403, "six hours later"
            door.ahead_s = 0
        assert keys_of(row) <= {*await door.keys()}
        in_supabase = "select count(*) from storage.objects where bucket_id = 'headshots' and name = $1"
        assert await connection.fetchval(in_supabase, shown["path"]) == 0
        (_, health) = await read(worker, "/health")
        assert health["parts"]["s3"]["status"] == "ok"
        assert await sample(worker, "listener_circuit_state", dependency="s3", state="closed") == 1
    logged = json.dumps(worker.lines)
    assert not [word for word in (SECRET, KEY_ID, "X-Amz-Signature", "AWS4-HMAC") if word in logged]
    await connection.execute("delete from public.headshot_sessions where id = $1", UUID(row_id))
    done = await listener("clean", place=stack, **HERE, **door.settings)
    assert (done.status, "row_deleted" in done.said) == (0, True), done.complained
    assert not keys_of(row) & {*await door.keys()}


async def test_a_store_that_is_full_is_cleaned_and_the_upload_goes_on(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any], grey: Grey, door: Door
) -> None:
    async with running_worker(stack, **BRISK, **grey.settings, **door.settings) as worker:
        old = await until_terminal(client, await insert(client))
        await connection.execute("update listener.kinds set keep_days = 1 where kind = 'headshot'")
        async with connection.transaction():
            await connection.execute("set local session_replication_role = replica")
            await connection.execute("update listener.sessions set finished_at = finished_at - interval '2 days'")
        door.room = 0
        new = await until_terminal(client, await insert(client))
        assert new["status"] == "completed", new
        assert worker.logged("room_made")
        left = {*await door.keys()}
        assert keys_of(new) <= left
        assert not keys_of(old) & left
        assert await sample(worker, "listener_circuit_openings_total", dependency="s3") in (0, None)


async def test_a_store_that_refuses_at_the_start_keeps_the_worker_from_claiming_and_names_the_setting(
    stack: Stack, client: AsyncClient, grey: Grey, door: Door
) -> None:
    door.secret = "another secret"
    settings = {**BRISK, **grey.settings, **door.settings, "LOG_LEVEL": "DEBUG"}
    row_id = await insert(client)
    async with running_worker(stack, "circuit_opened", **settings) as worker:
        body = await until(worker, "/readyz", lambda _status, body: "s3" in body.get("reasons", {}))
        assert "R2_SECRET_ACCESS_KEY" in body["reasons"]["s3"]
        checked = await listener("check", place=stack, **HERE, **grey.settings, **door.settings)
        said = json.dumps(worker.lines) + checked.said + checked.complained + str((await read(worker, "/health"))[1])
        assert not [word for word in (SECRET, KEY_ID, "X-Amz-Signature", "AWS4-HMAC") if word in said]
        (line,) = [line for line in checked.said.splitlines() if " s3 " in f" {line} "]
        assert (checked.status, "R2_SECRET_ACCESS_KEY" in line) == (1, True)
        door.secret = SECRET
        await worker.until_logged("worker_ready")
        assert (await until_terminal(client, row_id))["status"] == "completed"
    checked = await listener("check", place=stack, **HERE, **grey.settings, **door.settings)
    assert f"headshots in {door.bucket} at {door.url}" in checked.said
    assert not [key for key in await door.keys() if "listener-check" in key]

"""Secrets, signed URLs and prompts planted everywhere, and a worker that fails in every way: none of them comes out.

Looked through: every line of the log at DEBUG, every row of the database, the answers of the probes, the metrics.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
from supabase import AsyncClient

from devstack.stack import Stack
from tests.moderation.openai_server import ModerationServer, failing, moderation_server, mute, torn
from tests.support.app import insert, signed_in, until_row, until_terminal
from tests.support.echoing import EchoingGateway, echoing_gateway
from tests.support.worker import Worker, running_worker

PROMPT = "Zebraquokka im Gürtel auf der Gondola, シマウマ"
WORDS = ("zebraquokka", "gondola", "gürtel", "g\\u00fcrtel", "g%c3%bcrtel", "シマウマ")
HF_TOKEN = "hf_CANARYhubCANARYhubCANARY"
OPENAI_KEY = "sk-proj-CANARYopenaiCANARYopenai"
API_KEY = "plainCANARYapikey"
SIGNING = "whsec_" + base64.b64encode(b"CANARY-signing-secret-of-32-byte").decode()
SHARED = "shared-header-CANARY-secret"
LONG = {"num_inference_steps": 100, "width": 256, "height": 256}
OURS_IN = ("params", "prompt", "negative_prompt", "result", "url")
"""Columns whose purpose is to hold what the owner wrote, or to give him his signed URL."""


@dataclass
class Scene:
    """A running worker between a gateway and a moderation that leak, and what was collected from it."""

    client: AsyncClient
    connection: asyncpg.Connection
    gateway: EchoingGateway
    openai: ModerationServer
    worker: Worker
    secrets: list[str]
    seen: list[str] = field(default_factory=list)
    codes: dict[str, Any] = field(default_factory=dict)

    async def ends(self, name: str, prompt: str = PROMPT, **fields: Any) -> dict[str, Any]:
        """Insert a row and see it end; every probe is read meanwhile."""
        row_id = await insert(self.client, prompt, **fields)
        await self.look()
        row = await until_terminal(self.client, row_id)
        self.codes[name] = row["error_code"] or row["status"]
        return row

    async def running(self) -> str:
        """Insert a long session and wait until it draws."""
        row_id = await insert(self.client, PROMPT, **LONG)
        await until_row(self.client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        return row_id

    async def look(self) -> None:
        """Keep what the worker's own endpoints answer."""
        port = self.worker.logged("worker_started")[0]["port"]
        async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as http:
            for path in ("livez", "readyz", "startupz", "health", "metrics"):
                answer = await http.get(f"http://127.0.0.1:{port}/{path}")
                self.seen.append(f"{path}: {answer.text}")


@pytest.fixture
async def scene(stack: Stack, connection: asyncpg.Connection) -> AsyncIterator[Scene]:
    client = await signed_in(stack)
    session = await client.auth.get_session()
    assert session is not None
    secrets = [stack.keys.service_role_key, session.access_token, HF_TOKEN, OPENAI_KEY, API_KEY, SIGNING, SHARED]
    await connection.execute("update listener.kinds set max_attempts = 1")
    await connection.execute("select public.grant_credits($1::uuid, 90, 'test', 'many')", session.user.id)
    async with echoing_gateway(stack.url) as gateway, moderation_server() as openai:
        openai.flagged = {"flagme": {"violence"}}
        settings = {
            "SUPABASE_URL": gateway.url,
            "LOG_LEVEL": "DEBUG",
            "LISTENER_SOURCES": "sweep,webhook",
            "LISTENER_SWEEP_S": "0.2",
            "LISTENER_LEASE_S": "4",
            "LISTENER_WEBHOOK_SECRETS": SIGNING,
            "LISTENER_WEBHOOK_HEADER_SECRET": SHARED,
            "LISTENER_MODERATION": "openai",
            "LISTENER_MODERATION_TIMEOUT_S": "1",
            "OPENAI_MAX_RETRIES": "0",
            "OPENAI_BASE_URL": openai.base_url,
            "OPENAI_API_KEY": OPENAI_KEY,
            "HF_TOKEN": HF_TOKEN,
            "API_KEY": API_KEY,
        }
        async with running_worker(stack, **settings) as worker:
            yield Scene(client, connection, gateway, openai, worker, secrets)


Way = Callable[[Scene], Awaitable[None]]


async def fails_by_words(scene: Scene) -> None:
    await scene.ends("too long", PROMPT * 60)
    await scene.ends("bad field", width=500)
    await scene.ends("a rule", f"nude {PROMPT}")
    await scene.ends("flagged", f"flagme {PROMPT}")


async def fails_by_moderation(scene: Scene) -> None:
    answers = {"401": failing(401), "500": failing(500), "mute": mute, "torn": torn}
    for name, answer in answers.items():
        scene.openai.scripted = [answer]
        await scene.ends(f"moderation {name}")


async def fails_by_storage(scene: Scene) -> None:
    for status in (400, 403, 503):
        scene.gateway.faults["/storage/v1/object/headshots"] = (status, 4)
        await scene.ends(f"upload {status}")
    scene.gateway.faults["/storage/v1/object/headshots"] = (500, 0)
    scene.gateway.faults["/storage/v1/object/sign"] = (400, 1)
    await scene.ends("signing")


async def fails_by_database(scene: Scene) -> None:
    """Each call's error repeats its request and its answer: the claim's holds the prompts."""
    calls = {"claim_sessions": 400, "add_artifacts": 400, "complete_sessions": 400, "report_progress": 500}
    for call, status in (calls | {"heartbeat": 400, "sweep_sessions": 500}).items():
        path = f"/rest/v1/rpc/{call}"
        scene.gateway.only[path] = b"Zebraquokka" if call == "claim_sessions" else b""
        scene.gateway.faults[path] = (status, 1)
        await scene.ends(f"{call} {status}")
        await scene.gateway.until_done(path)


async def fails_by_machine(scene: Scene) -> None:
    row_id = await scene.running()
    await scene.client.rpc("cancel_session", {"p_row_id": row_id}).execute()
    scene.codes["cancelled"] = (await until_terminal(scene.client, row_id))["status"]
    await scene.connection.execute("update listener.kinds set time_limit_s = 1")
    await scene.ends("time limit", **LONG)
    await scene.connection.execute("update listener.kinds set time_limit_s = 300")
    row_id = await scene.running()
    (child,) = psutil.Process(scene.worker.pid).children()
    child.kill()
    scene.codes["killed"] = (await until_terminal(scene.client, row_id))["error_code"]


WAYS: tuple[Way, ...] = (fails_by_words, fails_by_moderation, fails_by_storage, fails_by_database, fails_by_machine)
EXPECTED = {
    "too long": "invalid_params",
    "bad field": "invalid_params",
    "a rule": "content_rejected",
    "flagged": "content_rejected",
    "moderation 401": "moderation_down",
    "moderation mute": "moderation_down",
    "upload 400": "storage_refused",
    "upload 503": "storage_down",
    "signing": "url_not_signed",
    "killed": "runtime_died",
    "cancelled": "cancelled",
    "time limit": "time_limit",
}


@pytest.mark.timeout(300)
async def test_no_canary_comes_out_of_a_worker_that_fails_in_every_way(scene: Scene) -> None:
    done = await scene.ends("good")
    token = done["result"]["image_url"].partition("token=")[2]
    assert token
    for way in WAYS:
        await way(scene)
    await scene.look()
    assert {name: scene.codes.get(name) for name in EXPECTED} == EXPECTED, "each way of failing was gone"

    said = [json.dumps(line, ensure_ascii=False) for line in scene.worker.lines] + scene.seen
    assert len(said) > 100
    rows = [line async for line in every_row(scene.connection)]
    leaks = [(secret[:12], line[:300]) for line in said + rows for secret in [*scene.secrets, token] if secret in line]
    assert not leaks
    told = [(word, line[:400]) for line in said + rows for word in WORDS if word in line.casefold()]
    assert not told


async def every_row(connection: asyncpg.Connection) -> AsyncIterator[str]:
    """Each row of each table of ours as JSON, without the columns that are there to hold such things."""
    tables = await connection.fetch(
        "select schemaname || '.' || tablename as name from pg_tables where schemaname in ('listener', 'public')"
    )
    for table in tables:
        for record in await connection.fetch(f"select to_jsonb(t) - $1::text[] as row from {table['name']} t", OURS_IN):
            yield f"{table['name']}: {record['row']}"

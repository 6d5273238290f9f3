"""A whole worker while it generates with diffusers: what it tells of itself, and what its log can be searched for."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from supabase import AsyncClient

from devstack.stack import Stack
from tests.support.app import insert, signed_in, until_row, until_terminal
from tests.support.generators import install
from tests.support.probing import read, sample, until, url_of
from tests.support.worker import running_worker

LONG = {"num_inference_steps": 100, "width": 256, "height": 256}
HEALTH_S = 0.2
TRYONS = "generation_sessions"
PROBES = 25
UNBOUNDED = {"session", "row_id", "request_id", "owner", "user_id", "path", "url", "error", "worker"}


async def test_health_names_every_part_and_answers_within_200_ms_while_it_generates(stack: Stack) -> None:
    async with running_worker(stack) as worker, aiohttp.ClientSession(url_of(worker)) as session:
        client = await signed_in(stack)
        row_id = await insert(client, **LONG)
        await until_row(client, row_id, lambda row: row["status"] == "processing" and row["progress"] > 0)
        took = []
        for _ in range(PROBES):
            began = time.perf_counter()
            async with session.get("/health") as answer:
                body = await answer.json()
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)
        assert body["parts"]["worker"]["details"] == {"running": 1}, "it was measured while it generated"
        assert sorted(took)[int(PROBES * 0.9)] < HEALTH_S, sorted(took)
        for name in ("worker", "database", "storage", "generator", "realtime", "resources"):
            assert set(body["parts"][name]) >= {"status", "reason"}, name
        assert (await until_terminal(client, row_id))["status"] == "completed"


async def test_every_line_of_an_attempt_carries_its_request_id_those_of_the_generator_too(stack: Stack) -> None:
    async with running_worker(stack, LOG_LEVEL="DEBUG") as worker:
        client = await signed_in(stack)
        row_ids = [await insert(client, num_inference_steps=2, width=64, height=64) for _ in range(2)]
        for row_id in row_ids:
            await until_terminal(client, row_id)
        await worker.until(lambda: len(worker.logged("attempt_settled")) == len(row_ids))
    lines = [line for line in worker.lines if "session" in line]
    assert {"attempt_started", "generation_done", "artifact_saved", "attempt_settled"} <= {
        line["event"] for line in lines
    }
    for line in lines:
        assert {"request_id", "attempt", "kind", "row_id", "worker"} <= set(line), line["event"]
    pairs = {(line["session"], line["request_id"]) for line in lines}
    assert len(pairs) == len({request_id for _, request_id in pairs}) == len(row_ids)


async def test_metrics_tell_sessions_durations_resources_and_the_model_with_bounded_labels(stack: Stack) -> None:
    async with running_worker(stack) as worker:
        client = await signed_in(stack)
        await until_terminal(client, await insert(client, num_inference_steps=1, width=64, height=64))
        await until_terminal(
            client, await insert(client, num_inference_steps=1, width=64, height=64, prompt="x" * 9000)
        )
        await worker.until(lambda: len(worker.logged("attempt_settled")) == 2)
        assert await sample(worker, "listener_sessions_settled_total", kind="headshot", outcome="completed") == 1
        assert await sample(worker, "listener_attempt_failures_total", kind="headshot", code="invalid_params") == 1
        assert await sample(worker, "listener_attempt_duration_seconds_count", outcome="completed") == 1
        assert await sample(worker, "listener_pickup_seconds_count", kind="headshot") == 2
        for name, labels in {
            "listener_slots": {"state": "free"},
            "listener_host_memory_bytes": {"state": "available"},
            "listener_host_memory_used_ratio": {},
            "listener_generator_memory_bytes": {"figure": "rss"},
            "listener_model_loaded": {"kind": "headshot", "model": "embedded", "device": "cpu"},
            "listener_disk_free_bytes": {"place": "cache"},
            "listener_lease_left_seconds": {},
            "process_resident_memory_bytes": {},
        }.items():
            assert (await sample(worker, name, **labels) or 0) > 0, name
        assert (await sample(worker, "listener_heartbeat_age_seconds") or 99) < 30
        assert await sample(worker, "listener_source_fresh", source="realtime") in {0.0, 1.0}
        await read(worker, "/health")
        async with aiohttp.ClientSession() as session, session.get(f"{url_of(worker)}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            text = await answer.text()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    assert not {name for one in samples for name in one.labels} & UNBOUNDED
    requests = [one for one in samples if one.name == "listener_http_requests_total"]
    assert {one.labels["route"] for one in requests} >= {"/health", "/metrics"}
    timed = {one.labels["route"] for one in samples if one.name == "listener_http_request_seconds_count"}
    assert timed == {one.labels["route"] for one in requests}, "every route has its times"
    took = [one for one in samples if one.name == "listener_session_seconds_count"]
    assert [(one.labels["kind"], one.value) for one in took] == [("headshot", 1)]


async def test_a_worker_without_its_gpu_is_alive_and_degraded_and_tells_its_surroundings_without_a_secret(
    stack: Stack,
) -> None:
    settings = {"LISTENER_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": "", "HF_TOKEN": "hf_CANARYCANARYCANARY"}
    async with running_worker(stack, waits_until="generator_not_loaded", **settings) as worker:
        (line,) = worker.logged("generator_not_loaded")
        assert "CUDA" in line["failures"]["headshot"]
        told = line["surroundings"]
        assert (told["settings"]["LISTENER_DEVICE"], told["settings"]["LISTENER_HEADSHOT_MODEL"]) == (
            "cuda",
            "embedded",
        )
        assert {"supabase", "torch"} <= set(told["packages"])
        assert (await read(worker, "/livez"))[0] == 200
        for path in ("/readyz", "/startupz"):
            status, body = await read(worker, path)
            assert (status, "CUDA" in body["reasons"]["generator"]) == (503, True)
        status, body = await read(worker, "/health")
        assert (status, body["status"], body["parts"]["generator"]["status"]) == (200, "degraded", "failing")
        assert body["parts"]["database"]["status"] == "ok"
        assert worker.process.returncode is None
    written = json.dumps(worker.lines)
    assert "CANARY" not in written
    assert stack.keys.service_role_key not in written


async def test_a_generator_that_stops_being_ready_is_waited_for_and_started_stays_started(
    stack: Stack, tmp_path: Path
) -> None:
    grey = install(tmp_path / "site")
    async with running_worker(stack, LISTENER_SOURCES="sweep", LISTENER_SWEEP_S="0.3", **grey.settings) as worker:
        assert (await read(worker, "/startupz"))[0] == 200
        grey.on("loading")
        await until(worker, "/readyz", lambda status, _body: status == 503)
        assert (await read(worker, "/startupz")) == (200, {"status": "started"})
        client = await signed_in(stack)
        row_id = await insert(client)
        await worker.until_logged("claims_paused")
        grey.off("loading")
        assert (await until_terminal(client, row_id))["status"] == "completed"
        await until(worker, "/readyz", lambda status, _body: status == 200)


async def insert_tryon(client: AsyncClient) -> str:
    """Insert a try-on of pictures that nobody uploaded: whoever claims it fails it."""
    answer = await client.auth.get_user()
    assert answer is not None
    pictures = [f"{answer.user.id}/{name}.jpg" for name in "ab"]
    found = await client.table(TRYONS).insert({"image_urls": pictures}).execute()
    return str(found.data[0]["id"])


async def status_of(client: AsyncClient, tryon: str) -> str:
    found = await client.table(TRYONS).select("status").eq("id", tryon).single().execute()
    return str(found.data["status"])


async def until_claimed(client: AsyncClient, tryon: str) -> None:
    async with asyncio.timeout(60):
        while await status_of(client, tryon) != "failed":
            await asyncio.sleep(0.05)


async def test_a_kind_that_cannot_be_made_waits_alone_and_every_door_says_so(stack: Stack, tmp_path: Path) -> None:
    grey = install(tmp_path / "site")
    grey.on("missing", "tryon")
    async with running_worker(stack, **grey.settings) as worker:
        client = await signed_in(stack)
        waiting = await insert_tryon(client)
        assert (await until_terminal(client, await insert(client)))["status"] == "completed"
        assert await status_of(client, waiting) == "queued", "it came first"
        assert await read(worker, "/readyz") == (200, {"status": "ready", "held": {"tryon": "no such model"}})
        status, body = await read(worker, "/health")
        assert (status, body["status"], body["parts"]["generator"]["status"]) == (200, "degraded", "failing")
        assert await sample(worker, "listener_generator_ready") == 0, "somebody is to look"
        line = await worker.until_logged("kinds_held")
        assert (line["held"], line["level"]) == ({"tryon": "no such model"}, "error")
        grey.off("missing")
        await until_claimed(client, waiting)
        assert await read(worker, "/readyz") == (200, {"status": "ready"})
        assert (await worker.until_logged("kinds_taken_up"))["kinds"] == ["tryon"]


@pytest.mark.slow
async def test_a_kind_whose_model_is_not_there_waits_alone_until_it_is(stack: Stack, tmp_path: Path) -> None:
    folder, cache = tmp_path / "model", tmp_path / "cache"
    settings = {"LISTENER_KINDS": "headshot,tryon", "LISTENER_TRYON_MODEL": f"{folder}"}
    async with running_worker(stack, **settings, LISTENER_CACHE_DIR=f"{cache}") as worker:
        client = await signed_in(stack)
        waiting = await insert_tryon(client)
        assert (await until_terminal(client, await insert(client)))["status"] == "completed"
        assert await status_of(client, waiting) == "queued", "it came first"
        words = f"the folder {folder} does not exist"
        assert words in worker.logged("generator_not_loaded")[0]["failures"]["tryon"]
        status, body = await read(worker, "/readyz")
        assert (status, list(body["held"]), words in body["held"]["tryon"]) == (200, ["tryon"], True)
        (drawn,) = (cache / "embedded").iterdir()
        shutil.copytree(drawn, folder)
        await until_claimed(client, waiting)

"""The worker as a process: it says when it is ready, answers the probes, drains, and keeps its log clean."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import aiohttp

from devstack.stack import Stack
from tests.support.app import insert, signed_in, until_terminal
from tests.support.target import Target
from tests.support.worker import Worker, running_worker, worker_environment

ROOT = Path(__file__).parents[2]


async def read(worker: Worker, path: str) -> tuple[int, Any]:
    port = worker.logged("worker_started")[0]["port"]
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.json()


async def test_a_ready_worker_answers_the_probes_and_drains_with_status_0(project: Target) -> None:
    async with running_worker(project) as worker:
        (ready,) = worker.logged("worker_ready")
        (left_out,) = worker.logged("kind_off")
        installed = {point.name for point in entry_points(group="listener.handlers")}
        assert left_out["kind"] == "avatar", "no engine of clips is named"
        assert ready["kinds"] == sorted(installed - {"avatar"})
        assert ready["slots"] == 5
        assert await read(worker, "/readyz") == (200, {"status": "ready"})
        await worker.until_logged("realtime_joined")
        status, health = await read(worker, "/health")
        assert (status, health["status"]) == (200, "ok")
        parts = {"worker", "database", "generator", "storage", "moderation", "realtime", "resources"}
        assert set(health["parts"]) - {"pose", "faces"} == parts, "the detectors where they are installed"
        worker.send(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await worker.process.wait() == 0
    assert [line["event"] for line in worker.lines][-1] == "worker_stopped"


async def test_no_key_no_signed_url_and_no_prompt_is_in_the_log_of_a_whole_session(project: Target) -> None:
    async with running_worker(project, LOG_LEVEL="DEBUG", HF_TOKEN="hf_CANARYCANARYCANARYCANARY") as worker:
        client = await signed_in(project)
        prompt = "an astronaut with a CANARYPROMPT helmet"
        row = await until_terminal(
            client,
            await insert(client, prompt, num_inference_steps=1, width=64, height=64, negative_prompt="CANARY mud"),
        )
        assert row["status"] == "completed"
        await worker.until_logged("attempt_settled")
    written = json.dumps(worker.lines)
    assert "CANARY" not in written
    assert project.service_role_key not in written
    assert "token=ey" not in written
    settled = worker.logged("attempt_settled")[0]
    assert settled["row_id"] == row["id"]
    assert settled["request_id"]
    assert {line["event"] for line in worker.lines} >= {"attempt_started", "artifact_saved", "attempt_settled"}
    assert worker.logged("not_json") == []


async def test_a_worker_told_to_stop_while_it_loads_ends_at_once(project: Target) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "listener",
        "run",
        cwd=ROOT,
        env=worker_environment(project),
        stderr=asyncio.subprocess.PIPE,
    )
    worker = Worker(process)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.read())
        await worker.until_logged("worker_registered")
        worker.send(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    assert worker.logged("worker_ready") == []


async def test_a_worker_whose_project_is_away_is_alive_and_says_why_it_is_not_ready(project: Target) -> None:
    environment = worker_environment(project, SUPABASE_URL="http://127.0.0.1:1")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "listener", "run", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    worker = Worker(process)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.read())
        await worker.until_logged("heartbeat_failed")
        assert (await read(worker, "/livez"))[0] == 200
        status, body = await read(worker, "/readyz")
        assert status == 503
        assert "ConnectError" in body["reasons"]["database"]
        worker.send(signal.SIGTERM)
    assert process.returncode == 0


async def test_a_port_in_use_ends_the_worker_in_words(stack: Stack) -> None:
    port = stack.url.rsplit(":", 1)[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "listener",
        "run",
        cwd=ROOT,
        env=worker_environment(stack, LISTENER_HTTP_PORT=port),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    assert process.returncode == 1
    (line,) = map(json.loads, errors.decode().splitlines()[-1:])
    assert (line["event"], line["reason"]) == (
        "worker_cannot_listen",
        f"cannot listen at 127.0.0.1:{port}: Address already in use",
    )
    assert "LISTENER_HTTP_PORT" in line["remedy"]
    assert b"Traceback" not in errors

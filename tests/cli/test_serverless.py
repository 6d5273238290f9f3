"""`listener serverless` behind RunPod's own client: real processes, jobs over its local server and by --test_input."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from supabase import AsyncClient

from devstack.stack import Stack
from tests.support.app import insert, row, signed_in, until_row
from tests.support.generators import Grey, install
from tests.support.runpod_platform import serving_jobs
from tests.support.s3 import Door
from tests.support.worker import ROOT, Worker, worker_environment

BRISK = {"LISTENER_SOURCES": "sweep", "LISTENER_SWEEP_S": "0.3", "LISTENER_SERVERLESS_IDLE_S": "0.5"}


@pytest.fixture
def grey(tmp_path: Path) -> Grey:
    return install(tmp_path / "site")


@pytest.fixture
async def client(stack: Stack) -> AsyncClient:
    return await signed_in(stack)


class Endpoint:
    """A worker with RunPod's local server before it."""

    def __init__(self, worker: Worker, port: int) -> None:
        self.worker = worker
        self._url = f"http://localhost:{port}/runsync"

    async def job(self, **asked: Any) -> dict[str, Any]:
        """Send a job and wait for its end."""
        async with aiohttp.ClientSession() as session, session.post(self._url, json={"input": asked}) as answer:
            told: dict[str, Any] = await answer.json()
            assert answer.status == 200, told
            return told

    async def refusal(self, **asked: Any) -> dict[str, Any]:
        """Send a job that cannot be done; its error."""
        told = await self.job(**asked)
        assert told["status"] == "FAILED"
        error: dict[str, Any] = json.loads(told["error"])
        assert set(error) == {"type", "message", "details", "timestamp"}
        return error


async def started(stack: Stack, *arguments: str, stdout: int, **settings: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "listener",
        "serverless",
        *arguments,
        cwd=ROOT,
        env=worker_environment(stack, **BRISK, **settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )


@asynccontextmanager
async def serving(stack: Stack, **settings: str) -> AsyncIterator[Endpoint]:
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    arguments = ("--rp_serve_api", "--rp_api_port", str(port))
    process = await started(stack, *arguments, stdout=asyncio.subprocess.DEVNULL, **settings)
    worker = Worker(process)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(worker.read())
        try:
            async with asyncio.timeout(60):
                while not await _answers(port):
                    assert process.returncode is None, worker.lines[-5:]
                    await asyncio.sleep(0.05)
            yield Endpoint(worker, port)
        finally:
            worker.send(signal.SIGTERM)
            try:
                async with asyncio.timeout(20):
                    await asyncio.wait({reading})
            finally:
                worker.send(signal.SIGKILL)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("localhost", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_jobs_drain_the_queue_finish_a_session_and_make_one_on_one_warm_worker(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any]
) -> None:
    rows = [await insert(client, num_inference_steps=1) for _ in range(3)]
    async with serving(stack, LISTENER_KINDS="headshot") as endpoint:
        await endpoint.worker.until_logged("worker_ready", 60)
        for row_id in rows:
            assert (await row(client, row_id))["status"] == "queued", "without a job nothing is claimed"
        told = await endpoint.job(drain=True)
        assert told["output"] == {"status": "drained", "sessions": {"completed": 3}}
        assert (await endpoint.job(drain=True))["output"] == {"status": "drained", "sessions": {}}

        fourth = await insert(client, num_inference_steps=1)
        told = await endpoint.job(session_id=fourth)
        assert told["output"]["status"] == "completed"
        assert told["output"]["image_url"].startswith(stack.url)

        owner = (await row(client, fourth))["user_id"]
        before = await connection.fetchval("select listener.balance_of($1)", owner)
        asked = {"prompt": "a calm portrait", "user_id": owner, "num_inference_steps": 1, "guidance_scale": 7.5}
        output = (await endpoint.job(**asked))["output"]
        assert output["status"] == "completed"
        assert output["processing_time"] > 0
        assert (await row(client, output["session_id"]))["user_id"] == owner
        assert await connection.fetchval("select listener.balance_of($1)", owner) == before - 1
        async with aiohttp.ClientSession() as session, session.get(output["image_url"]) as image:
            assert image.status == 200
        assert len(endpoint.worker.logged("runtime_loaded")) == 1, "the model was loaded once"


async def test_a_job_that_cannot_be_done_says_why_and_what_is_not_finished_in_time_goes_back(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any], grey: Grey
) -> None:
    def fields(error: dict[str, Any]) -> list[str]:
        assert error["type"] == "INVALID_PARAMS"
        assert all(one["remedy"] for one in error["details"]["fields"])
        return [one["field"] for one in error["details"]["fields"]]

    nobody = "00000000-0000-4000-8000-000000000000"
    row_id = await insert(client)
    owner = (await row(client, row_id))["user_id"]
    grey.on("hold")
    async with serving(stack, **grey.settings, LISTENER_SERVERLESS_LIMIT_S="3") as endpoint:
        assert fields(await endpoint.refusal(drain="yes")) == ["drain"]
        assert fields(await endpoint.refusal(session_id="../../etc")) == ["session_id"]
        assert fields(await endpoint.refusal(session_id=nobody)) == ["session_id"]
        assert fields(await endpoint.refusal(session_id=nobody, prompt="x")) == ["prompt"]
        assert fields(await endpoint.refusal(prompt="a calm portrait")) == ["user_id"]
        assert fields(await endpoint.refusal(prompt="a calm portrait", user_id="1; drop table")) == ["user_id"]
        assert fields(await endpoint.refusal(user_id=owner)) == ["prompt"]
        assert fields(await endpoint.refusal(user_id=owner, prompt="x", guidance_scale=900)) == ["guidance_scale"]
        assert fields(await endpoint.refusal(user_id=owner, prompt="x", steps=3)) == ["steps"]
        assert fields(await endpoint.refusal(user_id=owner, prompt="x", kind="postcard")) == ["kind"]

        error = await endpoint.refusal(drain=True)
        assert error["type"] == "NOT_FINISHED"
        await until_row(client, row_id, lambda seen: seen["status"] == "queued")
        assert await connection.fetchval("select failures from listener.sessions") == 0
        grey.off("hold")
        assert (await endpoint.job(session_id=row_id))["output"]["status"] == "completed"


async def test_on_the_platform_a_job_tells_its_progress_and_a_signal_during_one_gives_its_session_back(
    stack: Stack, client: AsyncClient, connection: asyncpg.Connection[Any], grey: Grey
) -> None:
    async with serving_jobs() as platform, asyncio.TaskGroup() as group:
        settings = {**grey.settings, **platform.settings, "LISTENER_DRAIN_S": "0"}
        worker = Worker(await started(stack, stdout=asyncio.subprocess.DEVNULL, **settings))
        group.create_task(worker.read())
        first = await insert(client)
        await platform.waiting.put({"id": "job_1", "input": {"session_id": first}})
        [done] = await platform.ended(1)
        assert (done["id"], done["output"]["status"], done.get("stopPod")) == ("job_1", "completed", None)
        grey.on("hold")
        held = await insert(client)
        await platform.waiting.put({"id": "job_2", "input": {"session_id": held}})
        await until_row(client, held, lambda seen: seen["status"] == "processing")
        await platform.pinged()
        worker.send(signal.SIGTERM)
        _, stopped = await platform.ended(2)
        assert json.loads(stopped["error"])["type"] == "DRAINING"
        async with asyncio.timeout(20):
            assert await worker.process.wait() == 0
        assert worker.logged("worker_stopped")
        assert [one for one in platform.told if one.get("status") == "IN_PROGRESS" and one["id"] == "job_2"]
    assert (await row(client, held))["status"] == "queued"
    assert await connection.fetchval("select max(failures) from listener.sessions") == 0


async def test_a_worker_asks_for_another_when_its_engine_is_sick_and_not_while_it_loads(
    stack: Stack, grey: Grey
) -> None:
    async with serving_jobs() as platform, asyncio.TaskGroup() as group:
        grey.on("loading")
        worker = Worker(await started(stack, stdout=asyncio.subprocess.DEVNULL, **grey.settings, **platform.settings))
        group.create_task(worker.read())
        wrong = {"session_id": "none"}
        await platform.waiting.put({"id": "job_1", "input": wrong})
        [loading] = await platform.ended(1)
        assert (json.loads(loading["error"])["type"], loading.get("stopPod")) == ("INVALID_PARAMS", None)
        grey.on("sick")
        await platform.waiting.put({"id": "job_2", "input": wrong})
        _, sick = await platform.ended(2)
        assert sick["stopPod"] is True
        worker.send(signal.SIGTERM)
        async with asyncio.timeout(20):
            await worker.process.wait()


async def test_a_job_is_answered_with_a_url_of_the_store_that_holds_its_result(
    stack: Stack, client: AsyncClient, grey: Grey, door: Door
) -> None:
    row_id = await insert(client)
    async with serving(stack, **grey.settings, **door.settings, LISTENER_S3_BUCKETS="headshots") as endpoint:
        output = (await endpoint.job(session_id=row_id))["output"]
    assert output["image_url"].startswith(f"{door.url}/{door.bucket}/headshots/")
    async with aiohttp.ClientSession() as session, session.get(output["image_url"]) as image:
        assert (image.status, image.content_type) == (200, "image/png")


@pytest.mark.slow
async def test_one_job_by_test_input_ends_the_process(stack: Stack, client: AsyncClient, grey: Grey) -> None:
    row_id = await insert(client)
    given = json.dumps({"input": {"drain": True}})
    process = await started(stack, "--test_input", given, stdout=asyncio.subprocess.PIPE, **grey.settings)
    async with asyncio.timeout(60):
        printed, logged = await process.communicate()
    assert process.returncode == 0, logged.decode()[-2000:]
    assert "{'completed': 1}" in printed.decode()
    assert (await row(client, row_id))["status"] == "completed"
    assert b"a calm portrait" not in printed + logged

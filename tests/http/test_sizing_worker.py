"""POST /estimate-body of a whole worker: who may call, what is fetched, what GET /health says of it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from devstack.stack import Stack
from tests.support.callers import run_example
from tests.support.contract import Contract
from tests.support.figure import Figure
from tests.support.generators import install
from tests.support.picture_server import serving_picture
from tests.support.probing import read, url_of
from tests.support.worker import Worker, running_worker

KEY = "an-api-key-of-these-tests"
CALLERS = 4
REQUESTS = 15
P95_S = 3.0


async def estimate(worker: Worker, url: str, key: str | None = KEY, **more: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"image_url": url, "height_cm": 175, **more}
    async with (
        aiohttp.ClientSession(url_of(worker), headers=headers) as session,
        session.post("/estimate-body", json=body) as answer,
    ):
        return answer.status, await answer.json()


async def test_a_worker_estimates_a_body_for_callers_with_a_key_and_tells_of_its_pose_process(
    stack: Stack, tmp_path: Path
) -> None:
    grey = install(tmp_path / "grey")
    async with serving_picture(Figure().png(), "/person.png") as host:
        settings = {"API_KEY": KEY, "LISTENER_FETCH_ALLOW_HOSTS": host, "LISTENER_CACHE_DIR": str(tmp_path)}
        async with running_worker(stack, **(grey.settings | settings)) as worker:
            url = f"http://{host}/person.png?token=CANARYtoken"
            for wrong in (None, KEY + "x", "lsk_" + 43 * "a"):
                assert (await estimate(worker, url, wrong))[0] == 401
            _, health = await read(worker, "/health")
            assert health["parts"]["pose"] == {
                "status": "ok",
                "reason": "starts with the first request",
                "details": {"starts": 0, "pictures": 0},
            }
            status, body = await estimate(worker, url)
            assert (status, body["recommended_size"]) == (200, "M"), body
            assert body["confidence"] > 0.7
            await _as_documented(worker, tmp_path, url)
            for refused in (
                f"http://{host}/nobody.png",
                "http://127.0.0.1:1/a.png",
                "https://localhost/a.png",
                "a.png",
            ):
                status, body = await estimate(worker, refused)
                assert (status, body["error"]["code"]) == (422, "INPUT_UNAVAILABLE"), (refused, body)
                assert body["error"]["details"]["field"] == "image_url"
            status, body = await estimate(worker, url, height_cm=99)
            assert (status, body["error"]["details"]["fields"][0]["field"]) == (422, "height_cm")
            _, health = await read(worker, "/health")
            assert health["parts"]["pose"]["details"] == {"starts": 1, "pictures": 2}
            (child,) = [
                one for one in psutil.Process(worker.pid).children() if "handlers.sizing.finder" in one.cmdline()
            ]
            assert "CANARY" not in json.dumps(worker.lines)
        assert not child.is_running()


async def _as_documented(worker: Worker, folder: Path, picture: str) -> None:
    """The example of the API's document runs as it is printed, and its answer is the one that is told."""
    contract = Contract((await read(worker, "/openapi.json"))[1])
    operation = contract.operation("POST", "/estimate-body")
    assert operation is not None
    variables = {"URL": url_of(worker), "API_KEY": KEY, "PICTURE": picture}
    status, text = await run_example(operation["x-codeSamples"][0]["source"], folder, variables)
    headers = {"Content-Type": "application/json", "X-Request-Id": ""}
    contract.require("POST", "/estimate-body", status, headers, json.loads(text))
    assert status == 200, text


@pytest.mark.slow
async def test_95_of_100_answers_come_within_three_seconds_for_four_callers_on_two_cores(
    stack: Stack, tmp_path: Path
) -> None:
    grey, took = install(tmp_path / "grey"), list[float]()

    async def call(worker: Worker, url: str) -> None:
        for _ in range(REQUESTS):
            began = time.perf_counter()
            status, body = await estimate(worker, url)
            took.append(time.perf_counter() - began)
            assert status == 200, body

    async with serving_picture(Figure().png(), "/person.png") as host:
        settings = {"API_KEY": KEY, "LISTENER_FETCH_ALLOW_HOSTS": host, "LISTENER_CACHE_DIR": str(tmp_path)}
        async with running_worker(stack, **(grey.settings | settings)) as worker:
            psutil.Process(worker.pid).cpu_affinity(sorted(psutil.Process().cpu_affinity() or [])[:2])
            began = time.perf_counter()
            assert (await estimate(worker, f"http://{host}/person.png"))[0] == 200
            first = time.perf_counter() - began
            async with asyncio.TaskGroup() as group:
                for _ in range(CALLERS):
                    group.create_task(call(worker, f"http://{host}/person.png"))
            rss = [one.memory_info().rss >> 20 for one in psutil.Process(worker.pid).children(recursive=True)]
    took.sort()
    p95 = took[math.ceil(0.95 * len(took)) - 1]
    print(f"\nfirst {first:.2f} s, then P50 {took[len(took) // 2]:.2f} s, P95 {p95:.2f} s, RSS of children {rss} MiB")
    assert p95 < P95_S

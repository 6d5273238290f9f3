"""RunPod's side of a Serverless worker on this machine: it hands out jobs, hears pings, progress and ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

POLL_S = 0.2


@dataclass
class Platform:
    """The jobs that wait, and what the worker told."""

    waiting: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    told: list[dict[str, Any]] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    base_url: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """What RunPod puts into a worker's environment, without its checks of a GPU machine."""
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{self.base_url}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{self.base_url}/job-done/$ID?gpu=none",
            "RUNPOD_WEBHOOK_PING": f"{self.base_url}/ping/$RUNPOD_POD_ID",
            "RUNPOD_AI_API_KEY": "rpa_of_a_test",
            "RUNPOD_POD_ID": "pod_1",
            "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }

    async def ended(self, count: int) -> list[dict[str, Any]]:
        """The ends of the first so many jobs."""
        async with asyncio.timeout(60):
            while len(ends := [one for one in self.told if one.get("status") != "IN_PROGRESS"]) < count:
                await asyncio.sleep(0.02)
        return ends

    async def pinged(self) -> None:
        """Wait for a sign of life: it comes from a process of its own."""
        async with asyncio.timeout(60):
            await self.heard.wait()

    async def take(self, _request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(POLL_S):
                return web.json_response(await self.waiting.get())
        except TimeoutError:
            return web.Response(status=204)

    async def hear(self, request: web.Request) -> web.Response:
        self.told.append({"id": request.match_info["id"], **json.loads(await request.text())})
        return web.Response(text="ok")

    async def ping(self, _request: web.Request) -> web.Response:
        self.heard.set()
        return web.Response(text="ok")

    async def stop(self, _request: web.Request) -> web.Response:
        return web.Response(status=204)


@asynccontextmanager
async def serving_jobs() -> AsyncIterator[Platform]:
    """A platform for one worker."""
    platform = Platform()
    app = web.Application()
    app.add_routes(
        [
            web.get("/job-take/{worker}", platform.take),
            web.get("/job-stop/{worker}", platform.stop),
            web.post("/job-done/{id}", platform.hear),
            web.get("/ping/{worker}", platform.ping),
        ]
    )
    async with TestServer(app) as server:
        platform.base_url = str(server.make_url("")).rstrip("/")
        yield platform

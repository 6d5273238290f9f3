"""deploy/runpod_image.py against a server that speaks RunPod's REST: deploy a tag, and roll back to the one before."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

SCRIPT = Path(__file__).parents[2] / "deploy" / "runpod_image.py"


async def ran(base_url: str, *arguments: str) -> tuple[int | None, str]:
    environment = {"RUNPOD_API_KEY": "rpa_of_a_test", "RUNPOD_REST_URL": base_url}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


async def test_an_image_is_deployed_by_its_tag_and_rolled_back_the_same_way() -> None:
    template = {"id": "tpl_1", "imageName": "registry.example/listener:1.0"}

    async def endpoint(_request: web.Request) -> web.Response:
        return web.json_response({"id": "ep_1", "templateId": "tpl_1"})

    async def read(request: web.Request) -> web.Response:
        return web.json_response(
            template, status=200 if request.headers["Authorization"] == "Bearer rpa_of_a_test" else 401
        )

    async def change(request: web.Request) -> web.Response:
        template.update(await request.json())
        return web.json_response(template)

    app = web.Application()
    routes = [
        web.get("/endpoints/ep_1", endpoint),
        web.get("/templates/tpl_1", read),
        web.patch("/templates/tpl_1", change),
    ]
    app.add_routes(routes)
    async with TestServer(app) as server:
        base_url = str(server.make_url("")).rstrip("/")
        status, printed = await ran(base_url, "ep_1", "registry.example/listener:1.1")
        assert (status, template["imageName"]) == (0, "registry.example/listener:1.1")
        before = printed.strip().rpartition("before: ")[2]
        assert (await ran(base_url, "ep_1", before))[0] == 0
        assert template["imageName"] == "registry.example/listener:1.0"
        for image in ("registry.example/listener", "registry.example/listener:latest", "--help", "a b:1"):
            status, printed = await ran(base_url, "ep_1", image)
            assert status == 1
            assert "names no version" in printed
        status, printed = await ran(base_url, "ep_2", "registry.example/listener:1.2")
        assert (status, "RunPod answers 404" in printed, "rpa_" in printed) == (1, True, False)

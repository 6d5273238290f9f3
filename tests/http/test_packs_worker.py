"""A pack from its user's first request to its last image, through the HTTP API of a whole worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from devstack.stack import Stack
from tests.support.packs import Visitor, studio_of
from tests.support.probing import url_of
from tests.support.worker import running_worker

WITHIN_S = 90.0


async def until(user: Visitor, job: str, seen: Any) -> dict[str, Any]:
    """Ask as a page without Realtime does, until the job is as wanted."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            answer = await user.ask("GET", f"/api/generate/{job}")
            assert answer.status == 200, answer.body
            read: dict[str, Any] = answer.body
            if seen(read):
                return read
            await asyncio.sleep(0.1)


async def test_a_user_orders_a_pack_and_reads_its_images_as_they_come(stack: Stack, tmp_path: Path) -> None:
    settings = {"LISTENER_CACHE_DIR": str(tmp_path)}
    async with running_worker(stack, **settings) as worker, studio_of(stack, url_of(worker)) as studio:
        ada, eve = await studio.visitor(), await studio.visitor()
        refused = await ada.create({"config": {"age_range": [12, 13]}})
        assert refused.body["error"]["details"]["fields"][0]["field"] == "config.age_range", "the handler's own rule"
        job = await ada.pack()
        part = await until(ada, job, lambda read: read["images"])
        assert part["status"] == "processing"
        done = await until(ada, job, lambda read: read["status"] not in {"queued", "processing"})
        assert (done["status"], done["completed_count"], done["progress"]) == ("completed", 5, 100), done
        assert [image["position"] for image in done["images"]] == [0, 1, 2, 3, 4]
        async with aiohttp.ClientSession() as anybody:
            for image in done["images"]:
                for name, kind in (("url", "image/jpeg"), ("thumbnail_url", "image/webp")):
                    async with anybody.get(image[name]) as answer:
                        assert (answer.status, answer.content_type) == (200, kind)
        assert (await eve.ask("GET", f"/api/generate/{job}")).code == "JOB_NOT_FOUND"
        assert await ada.credits() == 5
        assert ada.token not in str(worker.lines)

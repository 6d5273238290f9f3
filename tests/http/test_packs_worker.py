"""A pack from its user's first request to its last image, through the HTTP API of a whole worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from devstack.stack import Stack
from tests.support.packs import Visitor, studio_of
from tests.support.probing import read as read_json
from tests.support.probing import url_of
from tests.support.worker import running_worker

WITHIN_S = 90.0
OPEN = {"queued", "processing"}


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


async def test_a_user_reads_a_packs_images_as_they_come_and_stops_another_in_the_middle(
    stack: Stack, tmp_path: Path
) -> None:
    settings = {"LISTENER_CACHE_DIR": str(tmp_path), "LISTENER_PACK_BATCH": "1"}
    async with running_worker(stack, **settings) as worker, studio_of(stack, url_of(worker)) as studio:
        ada, eve = await studio.visitor(), await studio.visitor()
        refused = await ada.create({"config": {"age_range": [12, 13]}})
        assert refused.body["error"]["details"]["fields"][0]["field"] == "config.age_range", "the handler's own rule"
        job = await ada.pack()
        part = await until(ada, job, lambda read: read["images"])
        assert part["status"] == "processing"
        done = await until(ada, job, lambda read: read["status"] not in OPEN)
        assert (done["status"], done["completed_count"], done["progress"]) == ("completed", 5, 100), done
        assert [image["position"] for image in done["images"]] == [0, 1, 2, 3, 4]
        async with aiohttp.ClientSession() as anybody:
            for image in done["images"]:
                for name, kind in (("url", "image/jpeg"), ("thumbnail_url", "image/webp")):
                    async with anybody.get(image[name]) as answer:
                        assert (answer.status, answer.content_type) == (200, kind)
        faces = (await read_json(worker, "/health"))[1]["parts"]["faces"]
        assert (faces["status"], faces["details"]["starts"]) == ("ok", 1)
        assert (await eve.ask("GET", f"/api/generate/{job}")).code == "JOB_NOT_FOUND"
        assert await ada.credits() == 5

        stopped = await ada.pack()
        await until(ada, stopped, lambda read: len(read["images"]) > 1)
        assert (await ada.ask("POST", f"/api/generate/{stopped}/cancel")).body["outcome"] == "requested"
        kept = await until(ada, stopped, lambda read: read["status"] not in OPEN)
        assert (kept["status"], len(kept["images"])) == ("cancelled", kept["completed_count"])
        assert 2 <= kept["completed_count"] < 5, "what was finished stays"
        assert await ada.credits() == 5 - kept["completed_count"], "and the rest is paid back"
        assert ada.token not in str(worker.lines)

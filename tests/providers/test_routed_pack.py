"""A pack whose images are made elsewhere: one request an image, the first one beside every other, the price told."""

from __future__ import annotations

import io
from typing import Any

import asyncpg
import psutil
from aiohttp import web
from PIL import Image

from devstack.stack import Stack
from tests.providers.wires import KEY, OpenAIWire, Wire, failing, serving
from tests.support.probing import sample
from tests.support.tryons import a_user
from tests.support.worker import running_worker

LOOKS = {"age_range": [25, 30], "hair_color": "red"}
REFUSED = failing(400, "moderation_blocked", "Your request was rejected by the safety system")
HALF_OF_2_GIB_MIB = 1024


def _memory_mib(pid: int) -> float:
    """Of a worker and all of its processes."""
    worker = psutil.Process(pid)
    return sum(process.memory_info().rss for process in [worker, *worker.children(recursive=True)]) / 2**20


async def refusing_the_second(wire: Wire, request: web.Request) -> web.StreamResponse:
    """Draws every image but the pack's second one, whatever its seed."""
    asked = wire.began[-1]
    if asked["prompt"] in {other["prompt"] for other in wire.began[1:2]}:
        return await REFUSED(wire, request)
    return web.json_response(wire.made(asked))


async def test_a_pack_by_a_provider_keeps_its_face_and_pays_for_what_came(
    stack: Stack, connection: asyncpg.Connection[Any]
) -> None:
    user = await a_user(stack)
    before = await user.balance()
    async with serving(OpenAIWire()) as openai:
        assert isinstance(openai, OpenAIWire)
        openai.always = refusing_the_second
        settings = {
            "LISTENER_KINDS": "pack",
            "LISTENER_PACK_GENERATORS": "openai",
            "LISTENER_PACK_BATCH": "1",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{openai.url}/v1",
            "OPENAI_MAX_RETRIES": "0",
            "LISTENER_OPENAI_OPTIONS": '{"usd_per_image": 0.5}',
        }
        async with running_worker(stack, **settings) as worker:
            character = await user.client.table("characters").insert({"name": "Maya", "config": LOOKS}).execute()
            fields = {"character_id": character.data[0]["id"], "image_count": 5}
            job = await user.client.table("generation_jobs").insert(fields).execute()
            row = await user.ended(job.data[0]["id"], "generation_jobs")
            assert _memory_mib(worker.pid) < HALF_OF_2_GIB_MIB, "without a local model 2 GB are enough"
            assert await sample(worker, "listener_generation_cost_usd_total", generator="openai") == 0.5 * 4
    assert (row["status"], row["completed_count"]) == ("completed", 4)
    assert [(one["position"], one["reason"]) for one in row["result"]["missing"]] == [(1, "content_rejected")]
    assert before - await user.balance() == 4
    first, *others = openai.began
    assert first["images"] == []
    assert len(others) == 5
    with Image.open(io.BytesIO(openai.image)) as made:
        drawn = made.convert("RGB").tobytes()
    for asked in others:
        [reference] = asked["images"]
        with Image.open(io.BytesIO(reference)) as sent:
            assert sent.convert("RGB").tobytes() == drawn, "the pack's first image is beside every other one"
    assert len({asked["prompt"] for asked in openai.began}) == 5
    assert KEY not in str(worker.lines)
    assert await connection.fetch("select * from listener.invariants") == []

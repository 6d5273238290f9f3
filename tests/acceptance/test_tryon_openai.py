"""Try-ons drawn by OpenAI's images/edits: a real worker without a model of its own, and each of the retry rules."""

from __future__ import annotations

import asyncio
import io
import time
from collections import defaultdict
from typing import Any

import asyncpg
from aiohttp import web
from PIL import Image

from devstack.stack import Stack
from tests.providers.wires import KEY, OpenAIWire, Wire, failing, picture, serving
from tests.support.photographs import garment, person
from tests.support.tryons import User, a_shop, a_store, a_user
from tests.support.worker import running_worker

BUSY = failing(429, "rate_limit_exceeded")
MODERATED = failing(400, "moderation_blocked", "Your request was rejected by the safety system")
AWAY = failing(503)
ANSWERS = {"busy once": [BUSY], "busy twice": [BUSY, BUSY], "moderated": [MODERATED], "away": [AWAY] * 9}
ENDS = {
    "fine": ("completed", None),
    "busy once": ("completed", None),
    "busy twice": ("failed", "provider_busy"),
    "moderated": ("failed", "content_rejected"),
    "away": ("failed", "provider_down"),
}


class Desk:
    """Answers by the words of the prompt, and notes when each was asked."""

    def __init__(self) -> None:
        self.asked_at: dict[str, list[float]] = defaultdict(list)

    async def __call__(self, wire: Wire, request: web.Request) -> web.StreamResponse:
        asked = wire.began[-1]
        words = next((words for words in ANSWERS if words in asked["prompt"]), "fine")
        self.asked_at[words].append(time.monotonic())
        answers = ANSWERS.get(words, [])
        if len(self.asked_at[words]) <= len(answers):
            return await answers[len(self.asked_at[words]) - 1](wire, request)
        return web.json_response(wire.made(asked))


def reached(openai: Wire, allowed: str) -> dict[str, str]:
    return {
        "LISTENER_KINDS": "tryon",
        "LISTENER_TRYON_GENERATORS": "openai",
        "LISTENER_FETCH_ALLOW_HOSTS": allowed,
        "LISTENER_SWEEP_S": "0.5",
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{openai.url}/v1",
        "OPENAI_MAX_RETRIES": "1",
    }


async def until_waiting(user: User, row_id: str, desk: Desk) -> dict[str, Any]:
    """The row of a busy provider, queued again."""
    async with asyncio.timeout(30):
        while not desk.asked_at["busy once"] or (row := await user.row(row_id))["status"] != "queued":
            await asyncio.sleep(0.02)
    return row


async def test_the_retry_rules_hold_and_nobody_pays_for_what_he_did_not_get(
    stack: Stack, connection: asyncpg.Connection[Any]
) -> None:
    user, store, desk = await a_user(stack), await a_store(stack, "Marstal"), Desk()
    await connection.execute("select public.grant_credits($1::uuid, 5, 'store', 'test')", store.id)
    pictures = await user.upload(person(2000)), await user.upload(garment())
    wire = OpenAIWire(image=picture(512), always=desk)
    async with serving(wire) as openai, a_shop() as shop, running_worker(stack, **reached(openai, shop.host)) as worker:
        bought = await store.order(shop.url("person.jpg"), shop.url("suit.jpg"), prompt="fine")
        orders = {words: await user.order(*pictures, prompt=words) for words in ENDS}
        waiting = await until_waiting(user, orders["busy once"], desk)
        assert (waiting["error_code"], waiting["finished_at"]) == (None, None)
        refunds = "select count(*) from listener.ledger where entry = 'refund' and session = any($1::uuid[])"
        ids = await connection.fetch(
            "select id from listener.sessions where row_id = any($1::uuid[])",
            [orders["busy once"], orders["busy twice"]],
        )
        assert await connection.fetchval(refunds, [one["id"] for one in ids]) == 0, "none while a retry is due"
        rows = {words: await user.ended(orders[words]) for words in ENDS}
        of_the_store = await store.ended(bought)
    assert {words: (row["status"], row["error_code"]) for words, row in rows.items()} == ENDS
    assert "Please change it" in rows["moderated"]["error_message"]
    assert rows["fine"]["result"]["image_path"] == f"{user.id}/{orders['fine']}.jpg"
    assert rows["busy once"]["result"]["image_path"] == f"{user.id}/{orders['busy once']}.2.jpg"
    assert of_the_store["result"]["image_path"] == f"{store.id}/generated/{bought}.jpg"
    assert (of_the_store["result"]["device"], of_the_store["result"]["model"]) == ("openai", "gpt-image-1.5")

    assert {words: len(times) for words, times in desk.asked_at.items()} == {
        "fine": 2,
        "busy once": 2,
        "busy twice": 2,
        "moderated": 1,
        "away": 2,  # by OPENAI_MAX_RETRIES, inside one attempt
    }
    for words in ("busy once", "busy twice"):
        first, second = desk.asked_at[words]
        assert second - first >= 10
    assert await user.balance() == 8, "two pictures were made"
    assert await connection.fetch("select * from listener.invariants") == []
    assert not worker.logged("runtime_started"), "no model was loaded for it"
    asked = next(one for one in wire.began if "fine" in one["prompt"] and len(one["images"][0]) > 200_000)
    sizes = [Image.open(io.BytesIO(image)).size for image in asked["images"]]
    assert sizes == [(768, 1024), (192, 192)], "the person first, nothing larger than 1024 pixels"

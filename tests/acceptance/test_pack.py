"""Character packs end to end: a real worker, the user's tables by Realtime, his images, his credits, from outside."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
from PIL import Image
from postgrest.exceptions import APIError
from realtime import RealtimePostgresChangesListenEvent
from storage3.exceptions import StorageApiError

from devstack.faults import HttpFault
from devstack.stack import Stack
from tests.support.photographs import person
from tests.support.tryons import User, a_user
from tests.support.worker import running_worker

LOOKS = {"age_range": [25, 30], "ethnicity": "Danish", "hair_color": "red", "outfit_style": "linen"}
JOBS, IMAGES = "generation_jobs", "character_images"
FIRST_WITHIN_S = 30.0


async def a_character(user: User, **fields: Any) -> str:
    answer = await user.client.table("characters").insert({"name": "Maya", "config": LOOKS, **fields}).execute()
    return str(answer.data[0]["id"])


async def order(user: User, character: str, image_count: int = 5) -> str:
    fields = {"character_id": character, "image_count": image_count}
    return str((await user.client.table(JOBS).insert(fields).execute()).data[0]["id"])


async def images_of(user: User, job: str) -> list[dict[str, Any]]:
    found = await user.client.table(IMAGES).select("*").eq("job_id", job).order("position").execute()
    return list(found.data)


async def hear(user: User, heard: list[tuple[datetime, dict[str, Any]]]) -> None:
    """Every image of the user, with the time at which his page hears of it."""
    lives = asyncio.Event()
    channel = user.client.channel(f"images-{user.id}")
    channel.on_postgres_changes(
        RealtimePostgresChangesListenEvent.Insert,
        lambda change: heard.append((datetime.now(UTC), change["data"]["record"])),
        table=IMAGES,
        schema="public",
    )
    channel.on_system(lambda _: lives.set())
    await channel.subscribe()
    async with asyncio.timeout(20):
        await lives.wait()


async def require_image(user: User, stranger: User, image: dict[str, Any]) -> None:
    """The owner reads the image and its thumbnail, and nobody else does."""
    bucket = user.client.storage.from_("characters")
    with Image.open(io.BytesIO(await bucket.download(image["storage_path"]))) as shown:
        assert (shown.format, shown.size) == ("JPEG", (image["width"], image["height"]))
    with Image.open(io.BytesIO(await bucket.download(image["thumbnail_path"]))) as small:
        assert (small.format, small.size) == ("WEBP", (128, 128))
    for path in (image["storage_path"], image["thumbnail_path"]):
        with pytest.raises(StorageApiError):
            await stranger.client.storage.from_("characters").download(path)


async def require_pack(user: User, stranger: User, character: str, row: dict[str, Any]) -> None:
    """All five are there, apart by pose alone, in the user's and the character's folder; a stranger sees nothing."""
    images = await images_of(user, row["id"])
    assert (row["status"], row["progress"], row["completed_count"], row["error_message"]) == ("completed", 100, 5, None)
    assert [image["position"] for image in images] == [0, 1, 2, 3, 4]
    assert images[0]["pose"] == "portrait"
    assert len({image["pose"] for image in images}) == len({image["storage_path"] for image in images}) == 5
    assert {image["seed"] for image in images} == {7}, "locked with the character"
    assert {image["similarity_state"] for image in images} == {"not_measured"}, "the embedded weights draw noise"
    assert all(image["storage_path"].startswith(f"{user.id}/{character}/{row['id']}") for image in images)
    await require_image(user, stranger, images[-1])
    async with httpx.AsyncClient() as http:
        assert (await http.get(row["result"]["image_url"])).status_code == 200
    assert await images_of(stranger, row["id"]) == []
    for table, row_id in ((JOBS, row["id"]), ("characters", character)):
        assert (await stranger.client.table(table).select("*").eq("id", row_id).execute()).data == []
    with pytest.raises(APIError):
        await order(stranger, character)


async def cancelled(user: User, job: str) -> dict[str, Any]:
    """Cancel a pack as soon as one of its images can be seen."""
    async with asyncio.timeout(60):
        while not await images_of(user, job):
            await asyncio.sleep(0.02)
    await user.client.rpc("cancel_session", {"p_row_id": job}).execute()
    return await user.ended(job, JOBS)


async def test_packs_fill_up_image_by_image_and_cost_what_is_delivered(
    stack: Stack, connection: asyncpg.Connection
) -> None:
    whole, partial, impatient = users = [await a_user(stack) for _ in range(3)]
    before, heard = await whole.balance(), list[tuple[datetime, dict[str, Any]]]()
    await hear(whole, heard)
    refused = f"/storage/v1/object/characters/{partial.id}/*/03.jpg"
    stack.faults.hurt(HttpFault("status", path=refused, method="POST", status=413, times=None))
    async with running_worker(stack, LISTENER_KINDS="pack") as worker:
        face = await whole.upload(person())
        character = await a_character(whole, style={"seed": 7, "style_strength": 0.9}, face_reference_path=face)
        ordered_at = datetime.now(UTC)
        jobs = [await order(whole, character), await order(partial, await a_character(partial))]
        jobs += [await order(impatient, await a_character(impatient), 10)]
        kept = await cancelled(impatient, jobs[2])
        row, lacking = await whole.ended(jobs[0], JOBS), await partial.ended(jobs[1], JOBS)
        assert len(worker.logged("input_fetched")) == 1, "her face alone is fetched"
        reference = (await partial.row(lacking["character_id"], "characters"))["reference_path"]
        again = await partial.ended(await order(partial, lacking["character_id"]), JOBS)
        [recalled] = [line for line in worker.logged("input_fetched") if line["field"] == "character.reference_path"]
        assert recalled["size_bytes"] == len(await partial.client.storage.from_("characters").download(reference))
        assert again["status"] == "completed"
    await whole.client.remove_all_channels()
    await require_pack(whole, partial, character, row)
    [(first_at, first), *_] = heard
    assert first["position"] == 0
    assert (first_at - ordered_at).total_seconds() < FIRST_WITHIN_S
    assert first_at < datetime.fromisoformat(row["completed_at"]), "seen while the others are drawn"

    assert (lacking["status"], lacking["completed_count"]) == ("completed", 4)
    assert [image["position"] for image in await images_of(partial, jobs[1])] == [0, 1, 3, 4]
    assert [(image["position"], image["reason"]) for image in lacking["result"]["missing"]] == [(2, "storage_refused")]

    finished = await images_of(impatient, jobs[2])
    assert (kept["status"], kept["completed_count"]) == ("cancelled", len(finished))
    assert 0 < len(finished) < 10
    await require_image(impatient, whole, finished[0])

    assert [before - await user.balance() for user in users] == [5, 4 + 4, len(finished)], "what is delivered is paid"
    assert await connection.fetch("select * from listener.invariants") == []

"""Orders of avatars over real sockets, on a real database and storage: paid once, nothing left behind when refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devstack.stack import Stack
from tests.support.avatars import Stage, form, order, sound, stage_on
from tests.support.photographs import person

TABLES = {"store_id": "store_avatar_sessions", "user_id": "avatar_sessions"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "forms"
    made.mkdir()
    return made


@pytest.fixture
async def stage(stack: Stack, folder: Path) -> AsyncIterator[Stage]:
    async with stage_on(stack, folder, origins=("https://app.example",)) as opened:
        yield opened


@pytest.mark.parametrize("owner", TABLES)
async def test_a_form_becomes_a_session_paid_once_however_often_it_is_sent(
    stage: Stage, connection: asyncpg.Connection[Any], owner: str
) -> None:
    guest = await (stage.store() if owner == "store_id" else stage.visitor())
    data = {"prompt": "a woman singing", "resolution": "480p", "seed": "7"}
    first = await order(guest, form(**data), "k1")
    assert first.status == 201, first.body
    session = first.data["id"]
    assert first.headers["Location"] == f"/status/{session}"
    assert (first.data["job_id"], first.data["status"], first.data["progress"]) == (session, "pending", 0)
    assert (first.data["resolution"], first.data["seed"], first.data["queue"]["position"]) == ("480p", 7, 1)
    assert (first.data["estimated_completion"], first.data["queue"]["reason"]) == (None, "no_worker")
    at_once = await asyncio.gather(*(order(guest, form(**data), "k1") for _ in range(4)))
    assert {(one.status, one.data["id"]) for one in at_once} == {(200, session)}
    new = await asyncio.gather(*(order(guest, form(), "k2") for _ in range(4)))
    assert sorted(one.status for one in new) == [200, 200, 200, 201]
    for other in (form(prompt="a man"), form(audio=sound(2)), form(image=person(128)), form(seed="8")):
        refused = await order(guest, other, "k2")
        assert (refused.status, refused.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    rows = await connection.fetch(f"select * from public.{TABLES[owner]} order by created_at")
    assert [row[owner] for row in rows] == [guest.id, guest.id]
    assert (rows[0]["prompt"], rows[1]["prompt"], rows[1]["resolution"]) == ("a woman singing", None, "720p")
    named = [row[name] for row in rows for name in ("image_url", "audio_url")]
    assert sorted(await stage.objects(guest)) == sorted(named), "the files of each session, and no others"
    bucket = stage.street.client.storage.from_("uploads")
    assert [await bucket.download(path) for path in named[:2]] == [person(), sound()]
    assert await stage.credits(guest) == 8
    assert await connection.fetch("select * from listener.invariants") == []
    assert stage.files() == []

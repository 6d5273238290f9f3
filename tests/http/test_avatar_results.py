"""Where an avatar's session stands and what came of it, over real sockets, on a real database and storage."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from devstack.stack import Stack
from tests.sql import avatars
from tests.sql.project import Held, Project
from tests.support.avatars import Guest, Stage, order, sound, stage_on
from tests.support.gateway import open_gateway
from tests.support.node import ROOT
from tests.support.photographs import person

CLIP, POSTER = b"a clip", b"a poster"
KEPT = timedelta(hours=6)


async def begun(stage: Stage, project: Project, guest: Guest) -> tuple[str, Held]:
    """A session that a worker holds."""
    made = await order(guest)
    assert made.status == 201, made.body
    (held,) = await avatars.take(project)
    assert str(held.row) == made.data["id"]
    return str(held.row), held


async def finish(stage: Stage, project: Project, held: Held, folder: str) -> None:
    """End it as a worker does, with its objects."""
    path = f"{folder}/{held.session}"
    bucket = stage.street.client.storage.from_("videos")
    await bucket.upload(f"{path}.mp4", CLIP, {"content-type": "video/mp4"})
    await bucket.upload(f"{path}.webp", POSTER, {"content-type": "image/webp"})
    artifact = held.item(
        name="video.mp4",
        bucket="videos",
        path=f"{path}.mp4",
        thumbnail_path=f"{path}.webp",
        width=1280,
        height=720,
        size_bytes=len(CLIP),
        content_type="video/mp4",
        url="https://signed.example/old",
        facts={"duration_s": 1.96, "fps": 25.0},
    )
    assert await project.outcomes("add_artifacts", held.worker, artifact) == [("applied", None)]
    result = {"seed": 7, "warnings": ["short"], "video_url": "https://signed.example/old", "video_path": f"{path}.mp4"}
    assert await project.settle("complete_sessions", held, result=result) == ("applied", None)


async def ask(guest: Guest, path: str) -> Any:
    return await guest.ask("GET", path)


@pytest.mark.parametrize("owner", ["store", "visitor"])
async def test_a_session_is_followed_to_its_video_which_plays_for_as_long_as_is_said(
    stage: Stage, project: Project, owner: str
) -> None:
    guest: Guest = await getattr(stage, owner)()
    session, held = await begun(stage, project, guest)
    early = await ask(guest, f"/result/{session}")
    assert (early.status, early.code, early.headers["Retry-After"]) == (409, "NOT_READY", "2")
    await project.outcomes("report_progress", held.worker, held.item(done=3, total=10, note="speaking"))
    running = (await ask(guest, f"/status/{session}")).data
    assert (running["status"], running["progress"], running["message"]) == ("processing", 30, "speaking")
    assert (running["queue"]["position"], running["started_at"] is None, running["finished_at"]) == (0, False, None)
    assert (await ask(guest, f"/result/{session}")).body["error"]["details"] == {"progress": 30}
    await finish(stage, project, held, f"{guest.id}/generated" if owner == "store" else str(guest.id))
    done = (await ask(guest, f"/status/{session}")).data
    assert (done["status"], done["progress"], done["queue"], done["error"]) == ("completed", 100, None, None)
    assert done["warnings"] == ["short"]
    clip = (await ask(guest, f"/result/{session}")).data
    assert (clip["width"], clip["height"], clip["duration_s"], clip["size_bytes"]) == (1280, 720, 1.96, len(CLIP))
    assert clip["fps"] == 25
    finished_at, kept_until, expires_at = (
        datetime.fromisoformat(one) for one in (done["finished_at"], clip["kept_until"], clip["expires_at"])
    )
    assert kept_until == finished_at + KEPT
    assert timedelta() <= kept_until - expires_at < timedelta(seconds=3), "never longer than it is kept"
    async with aiohttp.ClientSession() as anybody:
        for name, data, kind in (("url", CLIP, "video/mp4"), ("thumbnail_url", POSTER, "image/webp")):
            async with anybody.get(clip[name]) as answer:
                assert (answer.status, await answer.read(), answer.content_type) == (200, data, kind)
    stranger = await stage.visitor()
    assert (await ask(stranger, f"/result/{session}")).code == "SESSION_NOT_FOUND"


async def test_the_end_of_a_running_session_is_estimated_from_those_before(stage: Stage, project: Project) -> None:
    for guest in (await stage.store(), await stage.visitor()):
        _, before = await begun(stage, project, guest)
        await project.value(
            "update listener.sessions set started_at = started_at - interval '100 s' where id = $1 returning 1",
            before.session,
        )
        await finish(stage, project, before, str(guest.id))
        session, _ = await begun(stage, project, guest)
        shown = (await ask(guest, f"/status/{session}")).data
        left = datetime.fromisoformat(shown["estimated_completion"]) - datetime.now(UTC)
        assert timedelta(seconds=60) < left < timedelta(seconds=110)
        assert shown["queue"]["reason"] is None


async def test_a_failed_and_a_cancelled_session_say_so_and_why(stage: Stage, project: Project) -> None:
    for guest in (await stage.store(), await stage.visitor()):
        session, held = await begun(stage, project, guest)
        details = {"type": "OutOfMemory", "resolution": "480p", "remedy": "shorter", "timestamp": "now"}
        why = {"code": "out_of_memory", "message": "Too large.", "details": details}
        assert await project.settle("fail_sessions", held, **why) == ("applied", None)
        shown = (await ask(guest, f"/status/{session}")).data
        failure = shown["error"]
        assert (shown["status"], failure["code"], failure["message"]) == ("failed", "OUT_OF_MEMORY", "Too large.")
        assert (failure["details"]["resolution"], failure["details"]["type"]) == ("480p", "OutOfMemory")
        refused = await ask(guest, f"/result/{session}")
        assert (refused.status, refused.code) == (409, "SESSION_FAILED")
        assert refused.body["error"]["details"] == {"error": failure}
        waiting = (await order(guest)).data["id"]
        await project.answer("cancel_owner_session", p_owner=guest.id, p_row_id=waiting)
        assert (await ask(guest, f"/status/{waiting}")).data["status"] == "cancelled"
        cancelled = await ask(guest, f"/result/{waiting}")
        assert (cancelled.status, cancelled.code) == (409, "SESSION_CANCELLED")
        assert await stage.credits(guest) == 10


async def test_a_video_is_gone_after_its_time_and_when_its_object_or_its_record_is(
    stage: Stage, project: Project
) -> None:
    ada = await stage.visitor()
    session, held = await begun(stage, project, ada)
    await finish(stage, project, held, str(ada.id))
    aged = "update public.avatar_sessions set finished_at = finished_at - interval '{}' where id = $1 returning 1"
    await project.value(aged.format("5 h 59 min"), held.row)
    clip = (await ask(ada, f"/result/{session}")).data
    assert datetime.fromisoformat(clip["expires_at"]) - datetime.now(UTC) < timedelta(seconds=61)
    await project.value(aged.format("1 min"), held.row)
    gone = await ask(ada, f"/result/{session}")
    assert (gone.status, gone.code) == (410, "GONE")
    for end in ("the object", "the record"):
        session, held = await begun(stage, project, ada)
        await finish(stage, project, held, str(ada.id))
        if end == "the object":
            await stage.street.client.storage.from_("videos").remove([f"{ada.id}/{held.session}.mp4"])
        else:
            await project.value(
                "update public.avatar_sessions set result = '{\"artifacts\": []}' where id = $1 returning 1", held.row
            )
        assert (await ask(ada, f"/result/{session}")).code == "GONE", end


async def test_a_store_reads_and_cancels_an_avatar_as_any_other_session(stage: Stage, project: Project) -> None:
    store, rival = await stage.store(), await stage.store()
    waiting = (await order(store)).data["id"]
    assert (await rival.cancel(waiting)).code == "SESSION_NOT_FOUND"
    assert (await store.cancel(waiting)).data == {"id": waiting, "outcome": "cancelled", "refund": "all"}
    session, held = await begun(stage, project, store)
    assert (await store.cancel(session)).data["outcome"] == "requested"
    await finish(stage, project, held, f"{store.id}/generated")
    shown = (await ask(store, f"/api/sessions/{session}")).data
    assert shown["result"]["video_url"] == shown["result"]["artifacts"][0]["url"] != "https://signed.example/old"
    assert "video_path" not in shown["result"]
    assert (shown["kind"], shown["status"], shown["result"]["artifacts"][0]["name"]) == (
        "avatar",
        "completed",
        "video.mp4",
    )
    await stage.street.client.storage.from_("videos").remove([f"{store.id}/generated/{held.session}.mp4"])
    later = (await ask(store, f"/api/sessions/{session}")).data["result"]
    (gone,) = later["artifacts"]
    assert (later["video_url"], gone["url"], gone["expires_at"], gone["name"]) == (None, None, None, "video.mp4")


async def test_the_example_sends_its_form_and_saves_the_clip(stage: Stage, project: Project, tmp_path: Path) -> None:
    ada = await stage.visitor()
    (tmp_path / "me.jpg").write_bytes(person())
    (tmp_path / "hello.wav").write_bytes(sound())
    example = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "examples" / "avatar.py"), "me.jpg", "hello.wav", "a", "woman"),
        cwd=tmp_path,
        env=os.environ | {"API_URL": stage.street.url, "API_KEY": ada.token},
        stdout=asyncio.subprocess.PIPE,
    )
    assert example.stdout is not None
    async with asyncio.timeout(30):
        assert await example.stdout.readline() == b"pending 0 % \n"
        (held,) = await avatars.take(project)
        await finish(stage, project, held, str(ada.id))
        said = (await example.stdout.read()).decode()
        assert await example.wait() == 0, said
    assert "completed 100 %" in said
    assert (tmp_path / f"{held.row}.mp4").read_bytes() == CLIP


async def test_what_lies_in_anothers_folder_is_never_signed(stage: Stage, project: Project) -> None:
    ada, eve = await stage.visitor(), await stage.visitor()
    session, held = await begun(stage, project, ada)
    await finish(stage, project, held, str(eve.id))
    assert (await ask(ada, f"/result/{session}")).code == "GONE"


async def test_a_url_that_cannot_be_signed_now_is_503_and_the_video_is_kept(
    stack: Stack, project: Project, tmp_path: Path
) -> None:
    async with open_gateway(stack.url) as gateway, stage_on(stack, tmp_path, gateway.url) as stage:
        store = await stage.store()
        session, held = await begun(stage, project, store)
        await finish(stage, project, held, f"{store.id}/generated")
        gateway.failures = 100
        away = await ask(store, f"/result/{session}")
        assert (away.status, away.code, away.headers["Retry-After"]) == (503, "TEMPORARILY_UNAVAILABLE", "5")
        assert away.body["error"]["details"] == {"is_kept": True}
        assert (await ask(store, f"/status/{session}")).data["status"] == "completed"
        gateway.failures = 0
        assert (await ask(store, f"/result/{session}")).status == 200

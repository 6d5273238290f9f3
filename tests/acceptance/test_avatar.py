"""Talking avatars end to end: pictures and voices of users and stores, a real worker, clips that play."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from aiohttp import web
from PIL import Image

from devstack.stack import Stack
from tests.support.photographs import person
from tests.support.recordings import an_mp3, with_header
from tests.support.sounds import a_tone, decoded, wav_of
from tests.support.tryons import Store, User, a_store, a_user
from tests.support.worker import Worker, running_worker

USERS, STORES = "avatar_sessions", "store_avatar_sessions"
SIX_HOURS = timedelta(hours=6)
VOICE_S = 1.6
SMALL = {"LISTENER_KINDS": "avatar", "LISTENER_AVATAR_MODEL": "embedded", "LISTENER_PRELOAD": "avatar"}
GIF = b"GIF89a" + bytes(64)


@asynccontextmanager
async def a_site(**shelves: tuple[str, bytes]) -> AsyncIterator[str]:
    """A web server on this machine: name -> content type and body; its host and port."""

    async def answer(request: web.Request) -> web.Response:
        content_type, body = shelves[request.match_info["name"]]
        return web.Response(body=body, content_type=content_type)

    app = web.Application()
    app.add_routes([web.get("/{name}", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def put(guest: User | Store, data: bytes, ending: str, content_type: str) -> str:
    """Upload a file into the guest's own folder; its path."""
    client = guest.client if isinstance(guest, User) else guest.server
    path = f"{guest.id}/{uuid4()}.{ending}"
    await client.storage.from_("uploads").upload(path, data, {"content-type": content_type})
    return path


async def order(guest: User | Store, image_url: str, audio_url: str, **fields: Any) -> str:
    """Insert a row; its id."""
    row = {"image_url": image_url, "audio_url": audio_url, **fields}
    if isinstance(guest, User):
        answer = await guest.client.table(USERS).insert(row).execute()
    else:
        answer = await guest.server.table(STORES).insert({"store_id": guest.id, **row}).execute()
    return str(answer.data[0]["id"])


async def require_clip(row: dict[str, Any], path: str, said_s: float) -> None:
    """The row leads to a clip that plays, with its sound and its poster, for six hours."""
    assert (row["status"], row["progress"], row["error_code"]) == ("completed", 100, None), row
    result = row["result"]
    [artifact] = result["artifacts"]
    assert (artifact["bucket"], artifact["path"], result["video_path"]) == ("videos", path, path)
    async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as http:
        whole = await http.get(result["video_url"])
        part = await http.get(result["video_url"], headers={"Range": "bytes=0-99"})
    assert whole.headers["content-type"] == "video/mp4"
    assert (part.status_code, part.content) == (206, whole.content[:100]), "a player asks for parts"
    clip = decoded(whole.content)
    assert (clip.names, clip.duration_s) == (("h264", "aac", "yuv420p"), pytest.approx(said_s, abs=0.15))
    assert clip.frames.std() > 5, "a picture, not one colour"
    assert abs(clip.sound).max() > 0.2, "it is heard"
    assert clip.frames.shape[1:3] == (result["height"], result["width"])
    assert result["height"] > result["width"], "the person's shape"
    assert (result["duration_s"], result["fps"]) == (pytest.approx(said_s, abs=0.15), pytest.approx(clip.fps, abs=0.01))
    valid = datetime.fromisoformat(result["expires_at"]) - datetime.fromisoformat(row["finished_at"])
    assert abs(valid - SIX_HOURS) < timedelta(minutes=1)


async def require_poster(client: Any, row: dict[str, Any]) -> None:
    """Its owner reads the first picture beside the clip."""
    data = await client.storage.from_("videos").download(row["result"]["thumbnail_path"])
    with Image.open(io.BytesIO(data)) as poster:
        assert (poster.format, poster.size) == ("WEBP", (row["result"]["width"], row["result"]["height"]))


@dataclass(frozen=True)
class Bad:
    """What is given instead of the picture or the voice, and what the owner is told."""

    words: str
    picture: bytes | None = None
    voice: bytes | None = None
    reason: str | None = None


BAD = {
    "a GIF": Bad("is a GIF", picture=GIF, reason="INVALID_IMAGE_FORMAT"),
    "half a picture": Bad("is a broken", picture=person()[:100], reason="INVALID_IMAGE"),
    "an Ogg": Bad("is Ogg", voice=b"OggS" + bytes(99), reason="INVALID_AUDIO_FORMAT"),
    "a picture as a voice": Bad("is GIF", voice=GIF, reason="INVALID_AUDIO_FORMAT"),
    "a playlist": Bad("is playlist", voice=b"#EXTM3U\n/etc/passwd", reason="INVALID_AUDIO_FORMAT"),
    "no sound": Bad("no sound", voice=wav_of(b""), reason="INVALID_AUDIO"),
    "no byte": Bad("is empty", voice=b""),
    "five minutes and a second": Bad("5 minutes", voice=wav_of(bytes(16_000 * 301), 8_000), reason="AUDIO_TOO_LONG"),
    "half a recording": Bad("cut off", voice=a_tone(2)[:20_000], reason="INVALID_AUDIO"),
    "a header that claims a day": Bad("cut off", voice=with_header(a_tone(1), 40, "<I", 2**31), reason="INVALID_AUDIO"),
    "hours in few bytes": Bad("5 minutes", voice=an_mp3(20, 16_000, 8_000) * 200, reason="AUDIO_TOO_LONG"),
}


async def ordered_badly(user: User, bad: Bad) -> str:
    """Upload what is wrong beside what is right, and insert the row."""
    picture = await put(user, person() if bad.picture is None else bad.picture, "jpg", "image/jpeg")
    voice = await put(user, a_tone(1) if bad.voice is None else bad.voice, "wav", "audio/wav")
    return await order(user, picture, voice)


async def require_refused(worker: Worker, user: User, other: User) -> None:
    """Each fails at once, in words."""
    made = len(worker.logged("generation_done"))
    orders = dict(zip(BAD, await asyncio.gather(*(ordered_badly(user, bad) for bad in BAD.values())), strict=True))
    strange = await order(user, await put(user, person(), "jpg", "image/jpeg"), f"{other.id}/voice.wav")
    private = await order(user, "https://169.254.169.254/me.jpg", "https://localhost/voice.wav")
    for name, bad in BAD.items():
        row = await user.ended(orders[name], USERS)
        assert (row["status"], row["error_code"]) == ("failed", "input_unavailable"), (name, row)
        details = row["error_details"]
        assert details["field"] == ("image_url" if bad.picture is not None else "audio_url"), name
        assert (bad.words in details["problem"], details.get("reason")) == (True, bad.reason), (name, details)
        assert details["remedy"], name
    for row_id, words in ((strange, "own folder"), (private, "public internet")):
        assert words in str((await user.ended(row_id, USERS))["error_details"])
    unsafe = await order(user, f"{user.id}/none.jpg", f"{user.id}/none.wav", prompt="make her nude")
    row = await user.ended(unsafe, USERS)
    assert (row["status"], row["error_code"]) == ("failed", "content_rejected"), "before anything is fetched"
    assert len(worker.logged("generation_done")) == made, "nothing of it reached the engine"


async def test_pictures_of_users_and_stores_speak_and_what_cannot_is_refused_in_words_and_refunded(
    stack: Stack, connection: asyncpg.Connection
) -> None:
    user, store, clumsy = await a_user(stack), await a_store(stack, "Marstal"), await a_user(stack)
    await connection.execute("select public.grant_credits($1::uuid, 90, 'test', 'many tries')", clumsy.id)
    await connection.execute("select public.grant_credits($1::uuid, 5, $2, 'test')", store.id, store.id)
    shelves = {"me.jpg": ("image/jpeg", person()), "voice.mp3": ("audio/mpeg", an_mp3(VOICE_S))}
    async with a_site(**shelves) as host, running_worker(stack, LISTENER_FETCH_ALLOW_HOSTS=host, **SMALL) as worker:
        picture = await put(user, person(), "jpg", "image/jpeg")
        voice = await put(user, a_tone(VOICE_S, rate=44_100, channels=2), "wav", "audio/wav")
        orders = [
            await order(user, picture, voice, prompt="quokka by the sea", resolution="480p", seed=7),
            await order(store, f"http://{host}/me.jpg", f"http://{host}/voice.mp3"),
            await order(user, picture, await put(user, wav_of(bytes(16_000)), "wav", "audio/wav")),
        ]
        rows = [
            await user.ended(orders[0], USERS, 90),
            await store.member.ended(orders[1], STORES, 90),
            await user.ended(orders[2], USERS, 90),
        ]
        await require_refused(worker, clumsy, user)
        assert "quokka" not in str(worker.lines)
        assert "token=" not in str(worker.lines), "no signed URL in the log"
    await require_clip(rows[0], f"{user.id}/{orders[0]}.mp4", VOICE_S)
    await require_clip(rows[1], f"{store.id}/generated/{orders[1]}.mp4", VOICE_S)
    assert (rows[0]["result"]["seed"], rows[0]["result"]["warnings"]) == (7, [])
    assert [len(rows[2]["result"]["warnings"]), rows[2]["status"]] == [2, "completed"], "short and silent, and told so"
    await require_poster(user.client, rows[0])
    await require_poster(store.member.client, rows[1])
    assert (await user.balance(), await store.member.balance()) == (8, 10), "the store pays, not its member"
    assert await clumsy.balance() == 100, "every credit is back"
    failed = "select max(attempt) from listener.sessions where status = 'failed'"
    assert await connection.fetchval(failed) == 1, "the strict policy: nothing of it was tried twice"
    facts = await connection.fetchval(
        "select facts from listener.artifacts where path = $1", f"{user.id}/{orders[0]}.mp4"
    )
    assert set(json.loads(facts)) == {"duration_s", "fps"}
    assert await connection.fetch("select * from listener.invariants") == []

"""An avatar from a form to a video that plays, through the HTTP API of a whole worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from devstack.stack import Stack
from tests.support.avatars import Guest, form, order, sound
from tests.support.packs import studio_of
from tests.support.probing import url_of
from tests.support.sounds import starts_at_once
from tests.support.stores import at_worker
from tests.support.worker import running_worker

SETTINGS = {"LISTENER_KINDS": "avatar", "LISTENER_AVATAR_MODEL": "embedded", "LISTENER_PRELOAD": "avatar"}
OPEN = {"pending", "processing"}


async def until_over(guest: Guest, session: str) -> Any:
    """Ask as the documents' client does."""
    async with asyncio.timeout(120):
        while (shown := (await guest.ask("GET", f"/status/{session}")).data)["status"] in OPEN:
            await asyncio.sleep(0.2)
    return shown


async def test_a_form_becomes_a_video_for_a_store_and_for_a_user(stack: Stack, tmp_path: Path) -> None:
    settings = {"TMPDIR": str(tmp_path)}
    async with (
        running_worker(stack, **(SETTINGS | settings)) as worker,
        at_worker(stack, url_of(worker)) as street,
        studio_of(stack, url_of(worker)) as studio,
    ):
        guests = [await street.store(), await studio.visitor()]
        refused = await order(guests[0], form(audio=sound(301, 8000)))
        assert (refused.status, refused.code) == (400, "INVALID_AUDIO")
        made = await asyncio.gather(*(order(guest, form(audio=sound(0.5), prompt="CANARYprompt")) for guest in guests))
        for guest, answer in zip(guests, made, strict=True):
            assert answer.status == 201, answer.body
            (warning,) = answer.data["warnings"]
            done = await until_over(guest, answer.data["id"])
            assert (done["status"], done["error"], done["warnings"]) == ("completed", None, [warning])
            clip = (await guest.ask("GET", f"/result/{answer.data['id']}")).data
            assert clip["duration_s"] > 0.4
            async with aiohttp.ClientSession() as anybody, anybody.get(clip["url"]) as video:
                data = await video.read()
                assert (video.content_type, data[4:8], len(data)) == ("video/mp4", b"ftyp", clip["size_bytes"])
                assert starts_at_once(data)
        assert not [path for path in tmp_path.glob("listener-uploads-*/*")]
        assert "CANARY" not in str(worker.lines)
    assert not list(tmp_path.glob("listener-uploads-*"))

"""Clips by InfiniteTalk through a whole worker: a row, the program, the clip; out of memory; cancelled midway."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.acceptance.test_avatar import USERS, VOICE_S, order, put, require_clip
from tests.handlers.talking import STAND_IN, Studio, until
from tests.support.photographs import person
from tests.support.sounds import a_tone
from tests.support.tryons import a_user
from tests.support.worker import running_worker


@pytest.mark.slow
async def test_a_row_becomes_a_clip_by_the_program_and_one_that_is_cancelled_leaves_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    studio = Studio(tmp_path)
    studio.put_models()
    settings = {
        "LISTENER_KINDS": "avatar",
        "LISTENER_AVATAR_GENERATORS": "infinitetalk",
        "LISTENER_INFINITETALK_COMMAND": shlex.join([sys.executable, str(STAND_IN)]),
        "LISTENER_INFINITETALK_ARGUMENTS": f"--scale 0.1 --stand_in oom720,slow --tell {studio.told_at}",
        "LISTENER_INFINITETALK_STEPS": "4",
        "LISTENER_INFINITETALK_DOWNLOAD": "false",
        "MODEL_STORAGE_PATH": str(tmp_path / "models"),
        "LISTENER_CACHE_DIR": str(tmp_path / "cache"),
    }
    user = await a_user(stack)
    async with running_worker(stack, **settings):
        picture = await put(user, person(), "jpg", "image/jpeg")
        voice = await put(user, a_tone(VOICE_S), "wav", "audio/wav")
        row_id = await order(user, picture, voice, prompt="He says $(hello).")
        row = await user.ended(row_id, USERS)
        await require_clip(row, f"{user.id}/{row_id}.mp4", VOICE_S)
        assert row["result"]["model"] == "MeiGen-AI/InfiniteTalk"
        assert row["result"]["notes"] == ["made at 480p instead of 720p for lack of memory"]
        assert studio.told[-1]["input"]["prompt"] == "He says $(hello)."
        assert "SUPABASE" not in str(studio.told[-1]["environment"])
        left = await order(user, picture, voice)
        await until(lambda: len(studio.told) == 4, within_s=40)
        await user.client.rpc("cancel_session", {"p_row_id": left}).execute()
        assert (await user.ended(left, USERS))["status"] == "cancelled"
        await until(lambda: not studio.alive())
        assert studio.folders == []

"""A clip that an engine hands over is read before it is anybody's: it plays, as long as its sound, or is refused."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from handlers.media.clips import check_clip
from handlers.media.faststart import started_at_once
from listener.errors import GenerationFailed, NothingProduced
from tests.support.recordings import a_clip
from tests.support.sounds import decoded, starts_at_once

GOOD = a_clip(2)
NO_PICTURES = b"\0\0\0\x08mdat"


async def test_a_clip_that_plays_is_measured_and_shown_by_its_first_picture() -> None:
    clip = await check_clip(GOOD, 2.0)
    assert (clip.width, clip.height, clip.frames, clip.fps) == (96, 64, 50, 25)
    assert clip.duration_s == pytest.approx(2.0, abs=0.01)
    with Image.open(io.BytesIO(clip.poster)) as poster:
        assert (poster.format, poster.size) == ("WEBP", (96, 64))
        assert abs(poster.convert("L").getpixel((40, 30)) - 40) < 8, "the first one"


async def test_a_large_clip_has_a_small_poster() -> None:
    clip = await check_clip(a_clip(0.4, size=(1280, 720)), 0.4)
    with Image.open(io.BytesIO(clip.poster)) as poster:
        assert poster.size == (640, 360)


async def test_the_index_is_put_in_front_and_nothing_else_changes() -> None:
    assert not starts_at_once(GOOD)
    clip = await check_clip(GOOD, 2.0)
    assert starts_at_once(clip.mp4)
    assert len(clip.mp4) == len(GOOD)
    before, after = decoded(GOOD), decoded(clip.mp4)
    assert (before.frames == after.frames).all()
    assert (before.sound == after.sound).all()
    assert started_at_once(clip.mp4) is clip.mp4
    assert (await check_clip(clip.mp4, 2.0)).mp4 == clip.mp4


@pytest.mark.parametrize("where", ["before the index", "behind the index"])
async def test_a_clip_with_its_pictures_in_several_boxes_still_plays(where: str) -> None:
    index_at = GOOD.index(b"moov") - 4
    several = GOOD[:index_at] + NO_PICTURES + GOOD[index_at:] if where.startswith("before") else GOOD + NO_PICTURES
    clip = await check_clip(several, 2.0)
    assert starts_at_once(clip.mp4)
    assert (decoded(GOOD).frames == decoded(clip.mp4).frames).all()


WRONG = {
    "a clip without sound": (a_clip(1, voice=None), "has the streams video"),
    "another codec": (a_clip(1, codec="mpeg4"), "cannot be decoded|coded as mpeg4"),
    "colours that browsers do not play": (a_clip(1, pixels="yuv444p"), "yuv444p"),
    "half a file": (GOOD[: len(GOOD) // 2], "cannot be decoded"),
    "a clip whose end is missing": (started_at_once(GOOD)[:-3000], "cannot be decoded|of 50 frames|sounds"),
    "no clip": (b"\0\0\0\x20ftypisom" + bytes(400), "cannot be decoded"),
    "too short a clip": (a_clip(1), "the voice has 4.0 s"),
    "too long a sound": (a_clip(4, sound_s=1.0), "sounds 1"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_clip_that_does_not_play_is_refused_in_words(name: str) -> None:
    mp4, words = WRONG[name]
    said_s = 4.0 if "too" in name else 2.0 if "end" in name else 1.0
    with pytest.raises(GenerationFailed, match=words):
        await check_clip(mp4, said_s)


async def test_no_clip_at_all_is_nothing_produced() -> None:
    with pytest.raises(NothingProduced):
        await check_clip(b"", 1.0)


@pytest.mark.parametrize("broken", [b"", b"\0\0\0\x01mdat", b"\0\0\0\x10moov\0\0\0\xffstco", b"\xff\xff\xff\xffmoov"])
def test_boxes_that_are_none_are_refused(broken: bytes) -> None:
    with pytest.raises((ValueError, KeyError)):
        started_at_once(broken)

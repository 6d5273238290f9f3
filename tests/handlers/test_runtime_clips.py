"""Talking clips from a real child: the real pipeline with tiny weights, real sound; what comes back is decoded."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
import pytest
import pytest_asyncio

from handlers.runtime.host import LocalGenerator
from handlers.runtime.runs import Run, may_join
from listener.contract import GeneratedClip, Generation, GenerationRequest, GeneratorConfig, PipelineConfig
from listener.errors import InputUnavailable, InvalidParams, ModelUnavailable, RuntimeDied
from tests.handlers.conftest import Bench
from tests.support.sounds import a_picture, a_tone, decoded, wav_of

AVATAR = PipelineConfig("avatar", "embedded", "LTX2DFRPipeline", device="cpu", side_max_px=128)
SHORT = PipelineConfig(
    "short", "embedded", "LTX2DFRPipeline", device="cpu", steps=3, options={"clip_frames_max": 25}, warm_up=("64x64",)
)
KLEIN = PipelineConfig("klein", "embedded", device="cpu")
ONE_FRAME_S = 1 / 24

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talker(configure: Callable[..., GeneratorConfig]) -> AsyncIterator[Bench]:
    """One child for all: a pipeline as it comes, one with short segments, and one that cannot speak."""
    generator = LocalGenerator(configure((AVATAR, SHORT, KLEIN)))
    await generator.start()
    bench = Bench(generator)
    await bench.ready()
    yield bench
    await generator.close()


def asked(sound: bytes | None, kind: str = "avatar", **fields: Any) -> GenerationRequest:
    values: dict[str, Any] = {"seeds": (7,), "references": (a_picture(),), "width": 1280, "height": 720, **fields}
    return GenerationRequest(kind, uuid4(), "she talks", audio=sound, **values)


async def made(bench: Bench, sound: bytes, kind: str = "avatar", **fields: Any) -> tuple[GeneratedClip, Generation]:
    generation = await bench.generator.generate(asked(sound, kind, **fields), bench.heard)
    assert generation.clip is not None
    return generation.clip, generation


async def small(bench: Bench, sound: bytes, **fields: Any) -> GeneratedClip:
    return (await made(bench, sound, "short", **{"width": 64, "height": 64, **fields}))[0]


async def test_a_picture_says_a_sound_for_as_long_as_it_lasts(talker: Bench) -> None:
    clip, generation = await made(talker, a_tone(2.0))
    seen = decoded(clip.mp4)
    assert seen.names == ("h264", "aac", "yuv420p")
    assert (clip.width, clip.height, clip.fps, clip.seed) == (128, 64, 24.0, 7)
    assert seen.frames.shape == (48, 64, 128, 3)
    assert abs(seen.duration_s - 2.0) <= ONE_FRAME_S
    assert clip.duration_s == pytest.approx(seen.duration_s, abs=0.01)
    assert 0 < clip.mp4.find(b"moov") < clip.mp4.find(b"mdat"), "a page plays it while it loads"
    assert (generation.images, generation.model, generation.pipeline_class) == ((), "embedded", "LTX2DFRPipeline")
    assert (generation.device, generation.steps, generation.notes) == ("cpu", 8, ())
    assert float(seen.frames.std()) > 5, "something is to be seen"
    assert float(np.abs(np.diff(seen.frames.astype(float), axis=0)).mean()) > 1, "and it moves"


async def test_what_is_heard_is_the_sound_that_was_sent(talker: Bench) -> None:
    for rate, channels, coded in ((16000, 1, 16000), (44100, 2, 44100), (7350, 1, 48000)):
        wav = a_tone(1.0, rate=rate, channels=channels)
        seen = decoded((await small(talker, wav)).mp4)
        assert seen.rate == coded
        sent = np.frombuffer(wav[44:], "<i2")[::channels].astype(float) / 32767
        heard = np.interp(np.arange(len(sent)) / rate, np.arange(len(seen.sound)) / seen.rate, seen.sound)
        assert np.corrcoef(sent, heard)[0, 1] > 0.98
        assert abs(np.abs(heard).mean() / np.abs(sent).mean() - 1) < 0.05


async def test_a_long_sound_is_made_in_segments_and_every_step_is_told(talker: Bench) -> None:
    talker.steps.clear()
    clip, generation = await made(talker, a_tone(3.3), "short", width=100, height=66)
    seen = decoded(clip.mp4)
    assert seen.frames.shape == (79, 66, 100, 3), "the size is what was asked for, also where it is no multiple of 32"
    assert abs(seen.duration_s - 3.3) <= ONE_FRAME_S
    assert generation.steps == 3
    assert talker.steps[-1] == (12, 12), "four segments of three steps"
    assert [done for done, _total in talker.steps] == sorted(done for done, _total in talker.steps)
    moved = np.abs(np.diff(seen.frames.astype(float), axis=0)).mean(axis=(1, 2, 3))
    assert moved.min() > 0.05, "no picture is there twice where two segments meet"


async def test_a_sound_shorter_than_a_segment_can_be_is_a_short_clip(talker: Bench) -> None:
    seen = decoded((await small(talker, a_tone(0.05))).mp4)
    assert len(seen.frames) == 1
    assert abs(seen.duration_s - 0.05) <= ONE_FRAME_S


async def test_what_cannot_be_a_clip_is_refused_by_name(talker: Bench) -> None:
    wav = a_tone(0.5)
    refusals: list[tuple[GenerationRequest, type[Exception], str]] = [
        (asked(wav, "klein"), ModelUnavailable, "makes images, and no clips"),
        (asked(None), ModelUnavailable, "makes clips that say a sound, and no images"),
        (asked(wav, references=()), InvalidParams, "one picture, one sound and one seed"),
        (asked(wav, seeds=(1, 2)), InvalidParams, "one picture, one sound and one seed"),
        (asked(wav, "short", width=65, height=65), InvalidParams, "even"),
        (asked(b"ID3 no wav"), InputUnavailable, "decoded as WAV"),
        (asked(wav_of(b"")), InputUnavailable, "sound"),
        (asked(wav, references=(b"GIF89a",)), InputUnavailable, "cannot be decoded"),
    ]
    for request, error, words in refusals:
        with pytest.raises(error, match=words):
            await talker.generator.generate(request, talker.heard)
    _clip, generation = await made(
        talker, wav, "short", width=64, height=64, guidance_scale=4.0, negative_prompt="hands"
    )
    assert [note.split()[0] for note in generation.notes] == ["guidance_scale", "negative_prompt"]


async def test_a_clip_nobody_waits_for_any_more_stops_between_two_steps(talker: Bench) -> None:
    pid = talker.pid
    talker.steps.clear()
    filming = asyncio.ensure_future(made(talker, a_tone(60.0), "short", width=128, height=128))
    await talker.until(lambda: len(talker.steps) >= 2)
    filming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filming
    assert await small(talker, a_tone(0.2))
    assert talker.pid == pid


@pytest.mark.slow
async def test_a_killed_child_fails_its_clip_in_words_and_the_next_one_is_made(talker: Bench) -> None:
    talker.steps.clear()
    filming = asyncio.ensure_future(made(talker, a_tone(60.0), "short", width=128, height=128))
    await talker.until(lambda: len(talker.steps) >= 2)
    os.kill(talker.pid, signal.SIGKILL)
    with pytest.raises(RuntimeDied) as died:
        await filming
    assert died.value.details["exit"] == "killed by SIGKILL (9)"
    assert await small(talker, a_tone(0.2))


async def test_it_is_warmed_up_with_a_clip(talker: Bench) -> None:
    await talker.ready()
    facts = talker.generator.status().details["pipelines"]["short"]
    assert list(facts["warm_up_s"]) == ["64x64"]
    assert facts["options"] == {"clip_frames_max": 25}


async def test_a_clip_never_shares_a_batch() -> None:
    spoken, drawn = (Run(number, asked(sound, references=())) for number, sound in enumerate((a_tone(0.1), None)))
    assert may_join(drawn, drawn, lambda _session: False)
    assert not may_join(drawn, spoken, lambda _session: False)
    assert not may_join(spoken, spoken, lambda _session: False)


@pytest.mark.slow
async def test_memory_stays_flat_over_many_clips(talker: Bench) -> None:
    await talker.ready()
    child, sizes, wav = psutil.Process(talker.pid), [], a_tone(2.0)
    for seed in range(40):
        await small(talker, wav, seeds=(seed,))
        sizes.append(child.memory_info().rss)
    assert min(sizes[25:]) < min(sizes[10:25]) * 1.01

"""One clip on a pipeline, in this process: what an exhausted memory, a broken coder and NaN come to; its arithmetic."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handlers.runtime import film, ladder, pipelines
from handlers.runtime.canary import prove, rehearse
from handlers.runtime.failures import RefusedError
from handlers.runtime.filming import Filmed, Filming
from handlers.runtime.loaded import Loaded, LoadError
from handlers.runtime.messages import Done, Failed, Generate, Load
from handlers.runtime.sound import read_sound
from handlers.runtime.speaking import SIGMAS, log_mel, schedule, segments
from listener.contract import PipelineConfig
from listener.settings import load_settings
from tests.handlers.test_runtime_generation import Breaking
from tests.support.sounds import a_picture, a_tone, decoded, wav_of

TALKING = "LTX2DFRPipeline"
SOUND, PICTURE = a_tone(0.2), a_picture()
LACK = "CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.fixture(scope="module")
def loaded(weights: Path) -> Loaded:
    pipelines.quieten()
    order = Load(1, "avatar", "embedded", TALKING, "bfloat16", "cpu", 2, None, str(weights))
    return pipelines.with_defaults(pipelines.load(order, lambda _note: None)[0], order)


@pytest.fixture
def breaking(loaded: Loaded) -> Iterator[Breaking]:
    found = Breaking(loaded.pipe.transformer)
    yield found
    found.hook.remove()


class Heard:
    """Keeps what a run is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.ended: Filmed | Failed | None = None

    def step(self, _run: int, done: int, total: int) -> None:
        self.steps.append((done, total))

    def is_cancelled(self, _run: int) -> bool:
        return False

    def leave(self, _run: int, ended: Filmed | Failed) -> None:
        assert self.ended is None, "told once"
        self.ended = ended


def filmed(
    loaded: Loaded, width: int, height: int, *, sound: bytes = SOUND, picture: bytes = PICTURE, seed: int = 1
) -> Done | Failed:
    said = {"blobs": (picture, sound), "speaks": True}
    order = Generate(1, "avatar", "a quokka", None, (seed,), width, height, None, None, **said)  # type: ignore[arg-type]
    heard = Heard()
    Filming(loaded, order, heard).complete()
    assert heard.ended is not None
    assert [done for done, _ in heard.steps] == sorted(done for done, _ in heard.steps)
    return heard.ended if isinstance(heard.ended, Failed) else heard.ended.to_message(1)


def test_the_pictures_follow_the_sound_the_seed_and_the_picture(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = film.Film.add
    monkeypatch.setattr(film.Film, "add", lambda self, pictures: (seen.append(pictures), real(self, pictures))[1])

    def pictures(**other: Any) -> Any:
        seen.clear()
        assert isinstance(filmed(loaded, 64, 64, **other), Done)
        return torch.cat(seen)

    first = pictures()
    assert torch.equal(first, pictures()), "bitwise the same"
    assert not torch.equal(first, pictures(sound=a_tone(0.2, pitch_hz=1500.0)))
    assert not torch.equal(first, pictures(seed=2))
    assert not torch.equal(first, pictures(picture=a_picture(200, 300)))


def test_a_clip_that_does_not_fit_is_made_once_more_at_480p(
    loaded: Loaded, breaking: Breaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "PIXELS_OF_480P", 96 * 54)  # the real one takes a processor half a minute
    breaking.errors = [torch.OutOfMemoryError(LACK)]
    made = filmed(loaded, 72, 128)
    assert isinstance(made, Done)
    assert decoded(made.blobs[0]).frames.shape == (5, 96, 54, 3)
    assert (made.facts["width"], made.facts["height"], made.facts["ran_out"]) == (54, 96, 1)
    assert made.facts["notes"] == [
        "decoded in tiles for lack of memory",
        "drawn at 54 x 96 instead of 72 x 128 for lack of memory",
    ]
    assert not loaded.pipe.vae.use_tiling, "the next one is not slowed down"
    breaking.errors = [torch.OutOfMemoryError(LACK)] * 2
    before = breaking.calls
    failed = filmed(loaded, 128, 128)
    assert isinstance(failed, Failed)
    assert (failed.code, breaking.calls - before, failed.details["ran_out"]) == ("out_of_memory", 2, 2)
    breaking.errors = [torch.OutOfMemoryError(LACK)]
    small = filmed(loaded, 64, 64)
    assert isinstance(small, Done), "what is small already is made again in tiles"
    assert (small.facts["width"], small.facts["ladder"]) == (64, ["tiling"])


@pytest.mark.parametrize(
    ("width", "height", "smaller"),
    [(1280, 720, (854, 480)), (720, 1280, (480, 854)), (960, 960, (640, 640)), (854, 480, (854, 480))],
)
def test_480p_has_the_shape_of_what_was_asked_for(
    loaded: Loaded, width: int, height: int, smaller: tuple[int, int]
) -> None:
    rungs = ladder.Ladder.for_clip(loaded, width, height)
    assert rungs.climb()
    assert ((rungs.width, rungs.height), rungs.climb()) == (smaller, False), "once"
    rungs.restore()


def test_a_failure_names_the_model_but_not_the_prompt(loaded: Loaded, breaking: Breaking) -> None:
    breaking.errors = [ValueError("cannot draw a quokka")]
    failed = filmed(loaded, 64, 64)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.message) == ("generation_failed", "ValueError: cannot draw a ***")
    assert failed.details["pipeline_class"] == TALKING


def test_values_that_are_not_numbers_are_no_clip_and_no_canary(loaded: Loaded) -> None:
    hook = loaded.pipe.vae.decoder.register_forward_hook(lambda _module, _inputs, output: output * float("nan"))
    try:
        failed = filmed(loaded, 64, 64)
        with pytest.raises(LoadError, match="not numbers"):
            prove(loaded)
    finally:
        hook.remove()
    assert isinstance(failed, Failed)
    assert "not numbers" in failed.message


def test_a_coder_that_fails_fails_its_clip_and_holds_nobody_up(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "CODING", {"preset": "no such preset"})
    failed = filmed(replace(loaded, clip_frames_max=9), 64, 64, sound=a_tone(1.0))
    assert isinstance(failed, Failed)
    assert failed.code == "generation_failed"
    assert "could not be coded" in failed.message


def test_a_file_that_cannot_be_closed_fails_its_clip(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film.Film, "_reopened", refused)
    failed = filmed(loaded, 64, 64)
    assert isinstance(failed, Failed)
    assert "could not be coded" in failed.message


def refused(*_: object) -> None:
    raise OSError("no second place")


def test_without_pyav_the_kind_does_not_load_and_says_what_to_install(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "av" else real(name, *more))
    with pytest.raises(LoadError, match="install the extra `media`"):
        pipelines.load(Load(1, "avatar", "embedded", TALKING, "float32", "cpu", 2, None, str(weights)), lambda _: None)


def test_its_blocks_are_not_compiled_for_a_size(loaded: Loaded) -> None:
    with pytest.raises(LoadError, match="follow the length of each sound"):
        rehearse(loaded, 64, 64, 1)


@given(st.integers(1, 3000), st.integers(9, 961))
def test_segments_cover_a_clip_and_none_is_longer_than_allowed(frames: int, frames_max: int) -> None:
    parts = list(segments(frames, frames_max))
    assert all(part.frames % 8 == 1 and 9 <= part.frames <= frames_max for part in parts)
    assert parts[0].first == 0
    assert all(before.first + before.frames - 1 == part.first for before, part in itertools.pairwise(parts))
    assert frames <= parts[-1].first + parts[-1].frames < frames + 9


def test_a_tone_stands_where_its_pitch_is_and_silence_nowhere() -> None:
    sound = read_sound(a_tone(1.0, pitch_hz=1000.0, rate=48000), 16000)
    assert (sound.duration_s, tuple(sound.waveform.shape)) == (1.0, (2, 16000))
    mel = log_mel(sound.waveform, 16000, 160, 64)
    assert tuple(mel.shape) == (1, 2, 101, 64)
    # Slaney's scale is linear up to 1000 Hz, 200 / 3 Hz to a unit; 8000 Hz are 45.25 units, 66 points to 64 filters.
    loudest = int(mel[0, 0].mean(dim=0).argmax())
    assert abs(loudest + 1 - 15 * 65 / 45.25) < 1.0
    click = torch.zeros(2, 16000)
    click[:, 8000] = 1.0
    level = log_mel(click, 16000, 160, 64)[0, 0, 50].mean()
    assert float(level) == pytest.approx(math.log(1024 / 16000), abs=0.1), "every filter is of area one"
    silence = log_mel(read_sound(wav_of(bytes(32000)), 16000).waveform, 16000, 160, 64)
    assert float(silence.max()) == pytest.approx(-11.5129, abs=1e-3)


def test_there_is_a_pipeline_of_clips_where_a_model_is_named() -> None:
    project = {
        "SUPABASE_URL": "http://localhost",
        "SUPABASE_SERVICE_ROLE_KEY": "a-key-that-is-long-enough",
        "LISTENER_KINDS": "headshot,avatar",
    }

    def kinds(**more: str) -> dict[str, PipelineConfig]:
        return {one.kind: one for one in load_settings(project | more).generator_config().pipelines}

    assert list(kinds()) == ["headshot"], "no other kind's model is loaded for it"
    embedded = kinds(LISTENER_AVATAR_MODEL="embedded")["avatar"]
    assert (embedded.pipeline_class, embedded.side_max_px) == (TALKING, 128)
    assert kinds(LISTENER_AVATAR_MODEL="somebody/weights")["avatar"].side_max_px == 1280


@pytest.mark.parametrize(
    ("wav", "words"),
    [(wav_of(bytes(2000), 10), "10 samples a second"), (wav_of(bytes(9_700_000), 8000), "longer than 600 s")],
    ids=["slow", "long"],
)
def test_a_sound_that_would_fill_the_memory_is_not_decoded(wav: bytes, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        read_sound(wav, 16000)


def test_the_schedule_is_the_trained_one_or_points_along_it() -> None:
    assert schedule(8) == list(SIGMAS)
    for steps in (1, 2, 4, 13):
        noise = schedule(steps)
        assert (len(noise), noise[0]) == (steps, 1.0)
        assert noise == sorted(noise, reverse=True)

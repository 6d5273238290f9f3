"""The kind `avatar`: what its rows may ask for, what one attempt hands back, what a form is told before it is paid."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from pydantic import ValidationError

from handlers.avatar.handler import PROMPT, AvatarHandler
from handlers.avatar.params import AvatarParams
from handlers.avatar.size import size_of
from handlers.inputs.seeds import default_seed
from listener.contract import (
    Artifact,
    Fetched,
    GeneratedClip,
    Generation,
    GenerationRequest,
    HandlerConfig,
    InputKind,
    Inspector,
    Log,
    RetryPolicy,
    SavedArtifact,
    Session,
)
from listener.errors import ConfigError, GenerationFailed, InputUnavailable, InvalidParams, NothingProduced
from listener.registry import load_handlers
from tests.support.photographs import person
from tests.support.recordings import a_clip
from tests.support.sounds import a_tone

ROW = {"image_url": "o/me.jpg", "audio_url": "o/voice.wav"}
SHELVES = {"o/me.jpg": person(), "o/voice.wav": a_tone(1), "o/short.wav": a_tone(0.5), "o/broken.wav": b"RIFF"}
CLIP = a_clip(1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"image_url": ""}, "has 0 characters"),
        ({"audio_url": "x" * 2049}, "at most 2048"),
        ({"image_url": "file:///etc/passwd"}, "give an https URL"),
        ({"audio_url": "data:audio/wav;base64,AAAA"}, "neither a URL"),
        ({"resolution": "1080p"}, "'720p' or '480p'"),
        ({"prompt": "x" * 2001}, "at most 2000"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_a_field_that_cannot_be_served_is_named_with_its_remedy(fields: Any, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        AvatarParams.model_validate(ROW | fields)
    [error] = refused.value.errors()
    assert error["loc"] == tuple(fields)
    assert words in error["msg"]


@pytest.mark.parametrize(
    ("picture", "resolution", "made"),
    [
        ((1920, 1080), "720p", (1280, 720)),
        ((3, 4), "720p", (720, 1280)),
        ((4, 3), "480p", (832, 480)),
        ((1000, 1100), "720p", (960, 960)),
        ((64, 64), "480p", (640, 640)),
    ],
)
def test_a_clip_has_the_shape_nearest_to_the_picture_s(picture: Any, resolution: Any, made: Any) -> None:
    assert size_of(*picture, resolution) == made


class Attempt:
    """A context that keeps what the handler does; its generator answers with a real clip, or with none."""

    def __init__(self, clip: bytes | None = CLIP) -> None:
        self.log: Log = structlog.get_logger()
        self.did: list[str] = []
        self.asked: list[GenerationRequest] = []
        self.saved: list[Artifact] = []
        self.results: list[Mapping[str, Any]] = []
        self._clip = clip

    async def progress(self, done: int, total: int, note: str = "") -> None:
        self.did.append(note)

    async def judge(self, texts: Mapping[str, str]) -> None:
        self.did.append(f"judged {texts['prompt']}")

    async def fetch(self, source: str, field: str = "", kind: InputKind = "picture") -> Fetched:
        self.did.append(f"fetched {kind} {field}")
        return Fetched(SHELVES[source], "any/type")

    async def generate(self, request: GenerationRequest) -> Generation:
        self.did.append("generated")
        self.asked.append(request)
        clip = GeneratedClip(self._clip, 1, 1, 1.0, 25.0, request.seeds[0]) if self._clip is not None else None
        return Generation((), "embedded", "LTX2DFRPipeline", "cpu", 8, None, 0.1, ("made at 480p",), 0.02, clip)

    async def save(self, artifact: Artifact) -> SavedArtifact:
        self.saved.append(artifact)
        expires = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=6)
        path, thumb = "o/r.mp4", "o/r.thumb.webp"
        return SavedArtifact("video.mp4", "videos", path, "https://signed", expires, 9, "video/mp4", 1, 1, thumb)

    def finish(self, result: Mapping[str, Any], refund_credits: int = 0) -> None:
        self.results.append(result)

    def remaining_s(self) -> float:
        return 60.0


async def run(attempt: Attempt, **fields: Any) -> Session:
    session = Session(
        uuid4(), "avatar", uuid4(), uuid4(), 1, {}, "videos", "o/r", "q", datetime.now(UTC), time_limit_s=60.0
    )
    await AvatarHandler().run(session, AvatarParams.model_validate(ROW | fields), attempt)  # type: ignore[arg-type]
    return session


async def test_an_attempt_makes_one_clip_of_the_picture_and_the_voice() -> None:
    attempt = Attempt()
    session = await run(attempt)
    assert attempt.did[:2] == [f"judged {PROMPT}", "reading your picture and your sound"]
    assert sorted(attempt.did[2:4]) == ["fetched audio audio_url", "fetched picture image_url"]
    [asked] = attempt.asked
    assert (asked.kind, asked.width, asked.height, asked.seeds) == ("avatar", 720, 1280, (default_seed(session.id),))
    assert asked.audio is not None
    assert (asked.audio[:4], asked.references[0][:4], len(asked.references)) == (b"RIFF", b"\x89PNG", 1)
    [artifact] = attempt.saved
    assert (artifact.name, artifact.content_type, artifact.width, artifact.height) == ("video.mp4", "video/mp4", 96, 64)
    assert (artifact.thumbnail or b"")[8:12] == b"WEBP"
    assert artifact.facts == {"duration_s": 1.0, "fps": 25.0}
    [result] = attempt.results
    assert (result["video_path"], result["thumbnail_path"]) == ("o/r.mp4", "o/r.thumb.webp")
    assert (result["width"], result["height"], result["cost_usd"]) == (96, 64, 0.02), "as it is, not as it is told"
    assert (result["notes"], result["warnings"]) == (["made at 480p"], [])
    assert AvatarHandler.retry_policy is RetryPolicy.STRICT


async def test_words_size_and_seed_are_the_row_s() -> None:
    attempt = Attempt(a_clip(0.5))
    await run(attempt, prompt=" by the  sea", resolution="480p", seed=7, audio_url="o/short.wav")
    [asked] = attempt.asked
    assert (asked.prompt, asked.width, asked.height, asked.seeds) == ("by the sea", 480, 832, (7,))
    assert len(attempt.results[0]["warnings"]) == 1, "it is short"


async def test_no_clip_or_one_that_is_not_of_the_voice_is_never_saved() -> None:
    for clip, failure in ((None, NothingProduced), (a_clip(4), GenerationFailed), (b"no clip", GenerationFailed)):
        attempt = Attempt(clip)
        with pytest.raises(failure):
            await run(attempt)
        assert not attempt.saved
        assert not attempt.results


async def test_a_voice_that_cannot_be_read_names_its_field() -> None:
    with pytest.raises(InputUnavailable) as refused:
        await run(attempt := Attempt(), audio_url="o/broken.wav")
    assert refused.value.details["field"] == "audio_url"
    assert attempt.asked == []


@pytest.mark.parametrize(
    ("image", "audio", "told"),
    [
        (b"GIF89a" + bytes(60), a_tone(1), ("image", "INVALID_IMAGE_FORMAT", "gif")),
        (b"words", a_tone(1), ("image", "INVALID_IMAGE_FORMAT", "unknown")),
        (person()[:200], a_tone(1), ("image", "INVALID_IMAGE", None)),
        (person(), b"fLaC" + bytes(60), ("audio", "INVALID_AUDIO_FORMAT", "flac")),
        (person(), a_tone(1)[:9000], ("audio", "INVALID_AUDIO", None)),
    ],
)
async def test_a_form_is_told_what_is_wrong_before_it_is_paid(
    image: bytes, audio: bytes, told: Any, tmp_path: Path
) -> None:
    files = {"image": tmp_path / "image", "audio": tmp_path / "audio"}
    files["image"].write_bytes(image)
    files["audio"].write_bytes(audio)
    with pytest.raises(InvalidParams) as refused:
        await AvatarHandler().inspect(files)
    details = refused.value.details
    assert (details["field"], details["reason"], details.get("received_format")) == told
    assert ("supported_formats" in details) == (told[2] is not None)
    assert details["remedy"]


async def test_a_form_that_can_be_used_is_told_what_may_come_out_poorly(tmp_path: Path) -> None:
    handler = AvatarHandler()
    assert isinstance(handler, Inspector)
    files = {"image": tmp_path / "image", "audio": tmp_path / "audio"}
    files["image"].write_bytes(person())
    files["audio"].write_bytes(a_tone(0.5))
    assert len(await handler.inspect(files)) == 1


def test_a_worker_that_makes_no_clips_leaves_the_kind_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a kind that it is not told to serve it takes no session only to fail it."""
    without = {"avatar": HandlerConfig({"has_engine": False})}
    assert "avatar" in load_handlers([], {"avatar": HandlerConfig({"has_engine": True})})
    assert "avatar" not in load_handlers([], without)
    assert list(load_handlers(["avatar"], without)) == ["avatar"], "named is named"
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "av" else find(name))
    assert "avatar" not in load_handlers([])
    with pytest.raises(ConfigError, match=r"listener\[media\]"):
        load_handlers(["avatar"])

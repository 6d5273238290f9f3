"""The kind `headshot`: what its rows may ask for, and what one attempt hands back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from PIL import Image
from pydantic import ValidationError

from handlers.headshot.handler import HeadshotHandler
from handlers.headshot.params import SEED_MAX, HeadshotParams
from handlers.inputs.seeds import default_seed
from listener.contract import (
    Artifact,
    GeneratedImage,
    Generation,
    GenerationRequest,
    Log,
    SavedArtifact,
    Session,
)
from listener.errors import NothingProduced


def test_a_whole_row_is_taken_and_what_is_not_ours_ignored() -> None:
    params = HeadshotParams.model_validate(
        {
            "id": str(uuid4()),
            "user_id": str(uuid4()),
            "prompt": "  a calm\nportrait ",
            "negative_prompt": None,
            "width": 512,
            "height": 768,
            "num_inference_steps": 25,
            "guidance_scale": 7.5,
            "seed": SEED_MAX,
        }
    )
    assert params.prompt == "a calm portrait"
    assert (params.width, params.height, params.seed) == (512, 768, SEED_MAX)
    assert HeadshotParams(prompt="x").num_inference_steps is None
    assert HeadshotParams(prompt="x", negative_prompt=" \u200b ").negative_prompt is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("prompt", "   ", "describe the picture"),
        ("prompt", None, "valid string"),
        ("prompt", "x" * 2001, "at most 2000"),
        ("negative_prompt", "x" * 2001, "at most 2000"),
        ("width", 500, "use 496 or 512"),
        ("height", 63, "outside of 64 to 2048"),
        ("height", 2049, "outside of 64 to 2048"),
        ("width", "wide", "valid integer"),
        ("num_inference_steps", 0, "greater than or equal to 1"),
        ("num_inference_steps", 101, "less than or equal to 100"),
        ("guidance_scale", -0.1, "greater than or equal to 0"),
        ("guidance_scale", 20.1, "less than or equal to 20"),
        ("guidance_scale", float("nan"), "finite number"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**63, "less than or equal to"),
    ],
)
def test_a_field_that_cannot_be_served_is_named_with_its_remedy(field: str, value: object, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        HeadshotParams.model_validate({"prompt": "a portrait", field: value})
    [error] = refused.value.errors()
    assert error["loc"] == (field,)
    assert words in error["msg"]


def test_a_refused_prompt_does_not_show_in_the_error() -> None:
    with pytest.raises(ValidationError) as refused:
        HeadshotParams.model_validate({"prompt": "quokka " * 2000})
    assert "quokka" not in str(refused.value)
    assert "quokka" not in repr(HeadshotParams(prompt="quokka"))


class Attempt:
    """A context that keeps what the handler does; its generator answers with a prepared generation."""

    def __init__(self, images: int = 1) -> None:
        self.log: Log = structlog.get_logger()
        self.asked: list[GenerationRequest] = []
        self.saved: list[Artifact] = []
        self.results: list[Mapping[str, Any]] = []
        self._images = images

    async def progress(self, done: int, total: int, note: str = "") -> None:
        return

    async def generate(self, request: GenerationRequest) -> Generation:
        self.asked.append(request)
        drawn = tuple(GeneratedImage(bytes(64 * 32 * 3), 64, 32, seed) for seed in request.seeds[: self._images])
        return Generation(drawn, "embedded", "FluxPipeline", "cpu", 25, 7.5, 0.1, ("a note",))

    async def save(self, artifact: Artifact) -> SavedArtifact:
        self.saved.append(artifact)
        expires = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=6)
        return SavedArtifact(artifact.name, "headshots", "o/r.png", "https://signed", expires, 9, "image/png")

    def finish(self, result: Mapping[str, Any], refund_credits: int = 0) -> None:
        self.results.append(result)

    def remaining_s(self) -> float:
        return 60.0


def a_session(session: UUID | None = None) -> Session:
    made = {"owner": uuid4(), "row_id": uuid4(), "attempt": 1, "params": {}, "bucket": "headshots"}
    told = {"path_prefix": "o/r", "request_id": "q", "created_at": datetime.now(UTC), "time_limit_s": 60.0}
    return Session(id=session or uuid4(), kind="headshot", **made, **told)  # type: ignore[arg-type]


async def test_an_attempt_saves_one_png_and_tells_what_was_really_used() -> None:
    attempt = Attempt()
    session = a_session()
    params = HeadshotParams(prompt="a portrait", width=64, height=64, num_inference_steps=25, guidance_scale=7.5)
    await HeadshotHandler().run(session, params, attempt)
    [artifact] = attempt.saved
    assert (artifact.name, artifact.content_type, artifact.width, artifact.height) == ("image.png", "image/png", 64, 32)
    with Image.open(io.BytesIO(artifact.data)) as image:
        assert (image.format, image.size) == ("PNG", (64, 32))
    [result] = attempt.results
    assert result.pop("processing_time_s") >= 0
    assert result == {
        "image_url": "https://signed",
        "image_path": "o/r.png",
        "expires_at": "2026-01-01T06:00:00+00:00",
        "model": "embedded",
        "pipeline": "FluxPipeline",
        "device": "cpu",
        "seed": default_seed(session.id),
        "num_inference_steps": 25,
        "guidance_scale": 7.5,
        "notes": ["a note"],
    }


async def test_a_second_attempt_asks_for_the_same_picture() -> None:
    attempt = Attempt()
    session = uuid4()
    for _ in range(2):
        await HeadshotHandler().run(a_session(session), HeadshotParams(prompt="a portrait"), attempt)
    first, second = attempt.asked
    assert first == second
    assert 0 <= first.seeds[0] < 2**53, "JavaScript can hand it back unharmed"
    assert default_seed(UUID(int=1)) == 2466389600157570
    await HeadshotHandler().run(a_session(session), HeadshotParams(prompt="a portrait", seed=0), attempt)
    assert attempt.asked[-1].seeds == (0,)


async def test_no_image_is_a_failure_and_nothing_is_saved() -> None:
    attempt = Attempt(images=0)
    with pytest.raises(NothingProduced):
        await HeadshotHandler().run(a_session(), HeadshotParams(prompt="a portrait"), attempt)
    assert not attempt.saved
    assert not attempt.results

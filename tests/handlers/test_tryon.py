"""The kind `tryon`: what its rows may ask for, and what one attempt hands back."""

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

from handlers.inputs.seeds import default_seed
from handlers.tryon.handler import TryonHandler
from handlers.tryon.params import TryonParams
from handlers.tryon.prompt import TEMPLATE, compose_prompt
from handlers.tryon.size import size_of
from listener.contract import (
    Artifact,
    Fetched,
    GeneratedImage,
    Generation,
    GenerationRequest,
    InputKind,
    Log,
    RetryPolicy,
    SavedArtifact,
    Session,
)
from listener.engine.validation import validated
from listener.errors import ContentRejected, InputUnavailable, InvalidParams, NothingProduced
from listener.moderation import build_moderator
from listener.moderation.settings import ModerationSettings

PERSON = "https://shop.example/person.png"
GARMENT = "https://shop.example/shirt.png"


def the_rules() -> Any:
    """The shipped rules, as a worker without settings uses them."""
    return build_moderator(ModerationSettings.model_construct(moderation="rules", moderation_rules=None))


def a_row(**fields: Any) -> dict[str, Any]:
    """A row of a user, as the payload's document describes it."""
    usual = {
        "id": str(uuid4()),
        "task_id": "task-1",
        "channel": "b2c",
        "user_id": str(uuid4()),
        "image_urls": [PERSON, GARMENT],
        "prompt": "  a summer\nday ",
        "request_id": "req-1",
        "payload_version": 1,
        "created_at": "2026-02-15T10:00:00+00:00",
        "status": "queued",
    }
    return {name: value for name, value in (usual | fields).items() if value is not None}


def test_a_whole_payload_is_taken_for_both_channels() -> None:
    user, store = uuid4(), uuid4()
    params = TryonParams.model_validate(a_row(user_id=str(user)))
    assert (params.channel, params.user_id, params.store_id, params.prompt) == ("b2c", user, None, "a summer day")
    assert (params.task_id, params.request_id, params.payload_version) == ("task-1", "req-1", 1)
    of_the_store = TryonParams.model_validate(a_row(channel="b2b", user_id=None, store_id=str(store), prompt=None))
    assert (of_the_store.channel, of_the_store.store_id, of_the_store.prompt) == ("b2b", store, None)


@pytest.mark.parametrize(
    ("fields", "named", "words"),
    [
        ({"payload_version": 2}, "payload_version", "version 2 of the payload is not known here; send version 1"),
        ({"channel": "b2x"}, "channel", "'b2c' or 'b2b'"),
        ({"channel": "b2b"}, "store_id", "name the store that pays"),
        ({"store_id": str(UUID(int=1))}, "store_id", "use the channel b2b"),
        ({"user_id": "../../etc"}, "user_id", "valid UUID"),
        ({"session_id": "not one"}, "session_id", "valid UUID"),
        ({"task_id": "two words"}, "task_id", "match pattern"),
        ({"request_id": "x" * 129}, "request_id", "match pattern"),
        ({"task_id": "x" * 129}, "task_id", "match pattern"),
        ({"created_at": "yesterday"}, "created_at", "valid datetime"),
        ({"image_urls": None}, "image_urls", "required"),
        ({"image_urls": [PERSON]}, "image_urls", "at least 2"),
        ({"image_urls": [PERSON] * 9}, "image_urls", "at most 8"),
        ({"image_urls": [PERSON, " "]}, "image_urls", "picture 2 has 1 characters"),
        ({"image_urls": [PERSON, "https://x/" + "y" * 2048]}, "image_urls", "at most 2048"),
        ({"image_urls": ["file:///etc/passwd", GARMENT]}, "image_urls", "give an https URL"),
        ({"image_urls": [PERSON, "data:image/png;base64,AAAA"]}, "image_urls", "picture 2 is neither a URL"),
        ({"prompt": "x" * 2001}, "prompt", "at most 2000"),
        ({"variant": {"name": "b", "overrides": {"stepps": 4}}}, "variant.overrides.stepps", "not permitted"),
        ({"variant": {"name": "b", "overrides": {"steps": 0}}}, "variant.overrides.steps", "greater than or equal"),
        (
            {"variant": {"name": "b", "overrides": {"prompt_template": "no place"}}},
            "variant.overrides.prompt_template",
            "put {prompt} into it",
        ),
    ],
)
def test_a_field_that_cannot_be_served_is_named_with_its_remedy(fields: Any, named: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TryonParams.model_validate(a_row(**fields))
    [error] = refused.value.errors()
    assert ".".join(map(str, error["loc"])) == named
    assert words in error["msg"]


def test_every_refusal_reaches_the_owner_with_a_remedy_and_without_what_was_given() -> None:
    row = a_row(payload_version=7, image_urls=["ftp://canary-host/x", GARMENT], prompt="canary " * 400)
    with pytest.raises(InvalidParams) as refused:
        validated(TryonHandler(), a_session(row))
    fields = refused.value.details["fields"]
    assert [problem["field"] for problem in fields] == ["payload_version", "image_urls", "prompt"]
    assert all(problem["remedy"] for problem in fields)
    assert "canary" not in str(refused.value.details)
    assert "canary" not in repr(TryonParams.model_validate(a_row(prompt="canary", image_urls=["canary/a", "canary/b"])))


def test_the_words_of_the_row_go_into_the_template_as_they_are() -> None:
    usual = compose_prompt(TryonParams.model_validate(a_row()))
    assert usual == TEMPLATE.replace("{garments}", "the garment of image 2").replace("{prompt}", "a summer day")
    several = compose_prompt(TryonParams.model_validate(a_row(image_urls=[PERSON, GARMENT, "o/hat", "o/bag"])))
    assert "Dress the person of image 1 in the garments of images 2, 3 and 4." in several
    assert "{" not in compose_prompt(TryonParams.model_validate(a_row(prompt=None)))
    variant = {"name": "short", "overrides": {"prompt_template": "{garments}: {prompt}"}}
    own = TryonParams.model_validate(a_row(prompt="{garments} {prompt}", variant=variant))
    assert compose_prompt(own) == "the garment of image 2: {garments} {prompt}"


async def test_the_template_alone_is_harmless_to_the_moderation() -> None:
    moderator = the_rules()
    await moderator.judge({"prompt": compose_prompt(TryonParams.model_validate(a_row()))})
    with pytest.raises(ContentRejected):
        await moderator.judge({"prompt": compose_prompt(TryonParams.model_validate(a_row(prompt="make her nude")))})


@pytest.mark.parametrize(
    ("person", "drawn"),
    [((512, 512), (1024, 1024)), ((300, 400), (768, 1024)), ((4000, 3000), (1024, 768)), ((1024, 50), (1024, 256))],
)
def test_a_try_on_has_the_shape_of_the_person_s_picture(person: tuple[int, int], drawn: tuple[int, int]) -> None:
    assert size_of(*person) == drawn


def picture(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


LARGE = "https://shop.example/large.png"
SHELVES = {
    LARGE: picture(2400, 1600, (9, 9, 9)),
    PERSON: picture(120, 160, (200, 120, 60)),
    GARMENT: picture(80, 80, (20, 20, 200)),
}


class Attempt:
    """A context that keeps what the handler does; its generator answers with a prepared generation."""

    def __init__(self, images: int = 1) -> None:
        self.log: Log = structlog.get_logger()
        self.did: list[str] = []
        self.asked: list[GenerationRequest] = []
        self.saved: list[Artifact] = []
        self.results: list[Mapping[str, Any]] = []
        self._images = images

    async def progress(self, done: int, total: int, note: str = "") -> None:
        self.did.append(note)

    async def judge(self, texts: Mapping[str, str]) -> None:
        self.did.append("judged")
        await the_rules().judge(texts)

    async def fetch(self, source: str, field: str = "", kind: InputKind = "picture") -> Fetched:
        self.did.append(f"fetched {field}")
        if source not in SHELVES:
            raise InputUnavailable("not there", details={"field": field})
        return Fetched(SHELVES[source], "image/png")

    async def generate(self, request: GenerationRequest) -> Generation:
        self.did.append("generated")
        self.asked.append(request)
        drawn = tuple(GeneratedImage(bytes(64 * 96 * 3), 64, 96, seed) for seed in request.seeds[: self._images])
        return Generation(drawn, "embedded", "Flux2KleinPipeline", "cpu", 4, None, 0.1, ("a note",))

    async def save(self, artifact: Artifact) -> SavedArtifact:
        self.did.append("saved")
        self.saved.append(artifact)
        expires = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=6)
        return SavedArtifact(artifact.name, "generated", "o/r.jpg", "https://signed", expires, 9, "image/jpeg")

    def finish(self, result: Mapping[str, Any], refund_credits: int = 0) -> None:
        self.results.append(result)

    def remaining_s(self) -> float:
        return 60.0


def a_session(row: Mapping[str, Any], owner: UUID | None = None) -> Session:
    paying = row.get("store_id") if row.get("channel") == "b2b" else row.get("user_id")
    made = {"owner": owner or UUID(str(paying)), "row_id": UUID(row["id"]), "attempt": 1, "params": row}
    told = {"path_prefix": "o/r", "request_id": "q", "created_at": datetime.now(UTC), "time_limit_s": 60.0}
    return Session(id=uuid4(), kind="tryon", bucket="generated", **made, **told)  # type: ignore[arg-type]


async def run(row: Mapping[str, Any], attempt: Attempt, owner: UUID | None = None) -> Session:
    session = a_session(row, owner)
    await TryonHandler().run(session, TryonParams.model_validate(row), attempt)
    return session


async def test_an_attempt_dresses_the_person_and_saves_one_jpeg() -> None:
    attempt = Attempt()
    session = await run(a_row(), attempt)
    assert attempt.did[:2] == ["judged", "reading your pictures"], "nothing is fetched before the words are judged"
    assert sorted(attempt.did[2:4]) == ["fetched image_urls.0", "fetched image_urls.1"]
    assert attempt.did[4:] == ["generated", "saving the picture", "saved"]
    [asked] = attempt.asked
    assert (asked.kind, asked.width, asked.height, asked.steps, asked.generator) == ("tryon", 768, 1024, None, None)
    assert asked.seeds == (default_seed(session.id),)
    with Image.open(io.BytesIO(asked.references[0])) as person, Image.open(io.BytesIO(asked.references[1])) as garment:
        assert (person.size, garment.size) == ((120, 160), (80, 80)), "the person first"
    [artifact] = attempt.saved
    assert (artifact.content_type, artifact.width, artifact.height) == ("image/jpeg", 64, 96)
    with Image.open(io.BytesIO(artifact.data)) as image:
        assert (image.format, image.size, dict(image.getexif())) == ("JPEG", (64, 96), {})
    [result] = attempt.results
    assert result["image_path"] == "o/r.jpg"
    assert (result["channel"], result["task_id"], result["variant"]) == ("b2c", "task-1", None)
    assert result["processing_time_s"] >= 0
    assert TryonHandler.retry_policy is RetryPolicy.STRICT


async def test_no_picture_reaches_a_generator_with_more_than_1024_pixels_a_side() -> None:
    attempt = Attempt()
    await run(a_row(image_urls=[LARGE, GARMENT, LARGE]), attempt)
    sizes = [Image.open(io.BytesIO(reference)).size for reference in attempt.asked[0].references]
    assert sizes == [(1024, 683), (80, 80), (1024, 683)]


async def test_a_variant_changes_the_words_the_pipeline_the_generator_and_the_numbers() -> None:
    attempt = Attempt()
    overrides = {
        "prompt_template": "wear {garments}. {prompt}",
        "pipeline": "edit-b",
        "generator": "openai",
        "steps": 8,
        "guidance_scale": 3.5,
    }
    await run(a_row(variant={"name": "b", "overrides": overrides}), attempt)
    [asked] = attempt.asked
    assert asked.prompt == "wear the garment of image 2. a summer day"
    assert (asked.kind, asked.generator, asked.steps, asked.guidance_scale) == ("edit-b", "openai", 8, 3.5)
    assert attempt.results[0]["variant"] == "b"


@pytest.mark.parametrize(("channel", "field"), [("b2c", "user_id"), ("b2b", "store_id")])
async def test_a_payload_that_speaks_of_another_owner_is_refused(channel: str, field: str) -> None:
    attempt = Attempt()
    payer = {"store_id": str(uuid4())} if channel == "b2b" else {}
    with pytest.raises(InvalidParams) as refused:
        await run(a_row(channel=channel, **payer), attempt, owner=uuid4())
    assert refused.value.details["field"] == field
    assert attempt.did == []


async def test_a_payload_that_names_another_session_is_refused() -> None:
    with pytest.raises(InvalidParams, match="session_id is not the row's id"):
        await run(a_row(session_id=str(uuid4())), Attempt())
    row = a_row()
    await run(row | {"session_id": row["id"]}, Attempt())


async def test_unsafe_words_are_refused_before_anything_is_fetched() -> None:
    attempt = Attempt()
    with pytest.raises(ContentRejected):
        await run(a_row(prompt="naked"), attempt)
    assert attempt.did == ["judged"]


async def test_a_picture_that_cannot_be_had_fails_the_attempt_and_names_its_place() -> None:
    attempt = Attempt()
    with pytest.raises(InputUnavailable) as lacking:
        await run(a_row(image_urls=[PERSON, "https://shop.example/gone.png"]), attempt)
    assert lacking.value.details["field"] == "image_urls.1"
    assert attempt.asked == []


async def test_no_image_is_a_failure_and_nothing_is_saved() -> None:
    attempt = Attempt(images=0)
    with pytest.raises(NothingProduced):
        await run(a_row(), attempt)
    assert not attempt.saved
    assert not attempt.results

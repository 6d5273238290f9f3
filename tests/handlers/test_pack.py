"""The kind `pack`: what one attempt draws, measures, stores, tries again and gives back. Faces are found by dlib."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import structlog
from PIL import Image, ImageOps
from pydantic import ValidationError

from handlers.detectors.process import FIND_S
from handlers.faces.finder import FaceFinder
from handlers.inputs import pictures
from handlers.pack.handler import PackHandler
from handlers.pack.options import SPARE_S, PackOptions
from handlers.pack.params import PackParams
from handlers.pack.plan import seed_of
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
from listener.errors import (
    Cancelled,
    ContentRejected,
    InputUnavailable,
    InputUnreachable,
    InvalidParams,
    NothingProduced,
    ProviderBusy,
    RuntimeDied,
    StorageDown,
)
from listener.moderation import build_moderator
from listener.moderation.settings import ModerationSettings
from tests.support.photographs import person, photograph

CHARACTER = UUID(int=9)
LOOKS = {"age_range": [25, 30], "hair_color": "brown"}
REFERENCE = "owner/face.jpg"
EARLIER = "owner/character/job.jpg"
Draw = Callable[[str, int], str]
"""Which photograph is drawn for a prompt and a seed."""


@cache
def picture(name: str) -> Image.Image:
    """A photograph as a pack would draw it: her, somebody else, or nobody."""
    if name == "nobody":
        return Image.open(photograph("chelsea.png")).convert("RGB").resize((256, 192))
    if name == "other":
        import numpy as np

        image = Image.new("L", (250, 250), 128)
        face = Image.fromarray((np.load(photograph("lfw_subset.npy"))[0] * 255).astype("uint8"))
        image.paste(face.resize((150, 150), Image.Resampling.BICUBIC), (50, 50))
        return image.convert("RGB")
    head = Image.open(photograph("astronaut.png")).convert("RGB").crop((120, 0, 350, 240))
    return ImageOps.mirror(head) if name == "mirrored" else head


def nobody(_prompt: str, _seed: int) -> str:
    return "nobody"


def her(_prompt: str, _seed: int) -> str:
    return "her"


class Attempt:
    """What an attempt's context does, with a generator that draws photographs."""

    def __init__(self, draw: Draw = nobody, fails: Mapping[int, Exception] | None = None) -> None:
        self.log: Log = structlog.get_logger()
        self.did: list[str] = []
        self.asked: list[GenerationRequest] = []
        self.saved: list[Artifact] = []
        self.result: Mapping[str, Any] = {}
        self.refund: int | None = None
        self.left_s = 600.0
        self.round_s = 0.0
        self.unstorable: set[str] = set()
        self.stored = person()
        self._draw = draw
        self._fails = dict(fails or {})

    async def progress(self, done: int, total: int, note: str = "") -> None:
        self.did.append(f"{done}/{total}")

    async def judge(self, texts: Mapping[str, str]) -> None:
        self.did.append("judged")
        settings = ModerationSettings.model_construct(moderation="rules", moderation_rules=None)
        await build_moderator(settings).judge(texts)  # type: ignore[union-attr]

    async def fetch(self, source: str, field: str = "", kind: InputKind = "picture") -> Fetched:
        self.did.append(f"fetched {field}")
        if source != REFERENCE:
            raise InputUnavailable("not there", details={"field": field})
        return Fetched(self.stored, "image/jpeg")

    async def recall(self, path: str, field: str = "") -> Fetched:
        self.did.append(f"recalled {field}")
        if path != EARLIER:
            raise InputUnavailable("not there", details={"field": field})
        return Fetched(self.stored, "image/jpeg")

    async def generate(self, request: GenerationRequest, ready: int = 0, count: int | None = None) -> Generation:
        self.asked.append(request)
        self.did.append(f"generated {len(request.seeds)} after {ready} of {count}")
        self.left_s -= self.round_s
        if (failure := self._fails.pop(len(self.asked), None)) is not None:
            raise failure
        drawn = []
        for prompt, seed in zip(request.drawn_prompts, request.seeds, strict=True):
            image = picture(self._draw(prompt, seed))
            drawn.append(GeneratedImage(image.tobytes(), image.width, image.height, seed))
        return Generation(tuple(drawn), "klein", "Flux2KleinPipeline", "cpu", 4, None, 0.1, ("a note",), 0.01)

    async def save(self, artifact: Artifact) -> SavedArtifact:
        if artifact.name in self.unstorable:
            raise StorageDown
        self.did.append(f"saved {artifact.name}")
        self.saved.append(artifact)
        expires = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=6)
        return SavedArtifact(
            artifact.name, "characters", f"o/{artifact.name}", "https://signed", expires, 9, "image/jpeg"
        )

    def finish(self, result: Mapping[str, Any], refund_credits: int = 0) -> None:
        self.result, self.refund = result, refund_credits

    def remaining_s(self) -> float:
        return self.left_s

    def facts(self) -> dict[int, Mapping[str, Any]]:
        """The facts of what is stored, by position."""
        return {artifact.facts["position"]: artifact.facts for artifact in self.saved}


def a_row(**character: Any) -> dict[str, Any]:
    snapshot = {"id": str(CHARACTER), "name": "Maya", "config": LOOKS, "style": {}, "reference_path": None} | character
    return {"id": str(uuid4()), "character_id": str(CHARACTER), "image_count": 5, "character": snapshot}


def a_session(row: Mapping[str, Any]) -> Session:
    made = {"owner": UUID(int=1), "row_id": UUID(row["id"]), "attempt": 1, "params": row}
    told = {"path_prefix": "o/r", "request_id": "q", "created_at": datetime.now(UTC), "time_limit_s": 600.0}
    return Session(id=uuid4(), kind="pack", bucket="characters", **made, **told)  # type: ignore[arg-type]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def faces() -> AsyncIterator[FaceFinder]:
    """One face process for all."""
    finder = FaceFinder()
    yield finder
    await finder.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def run(attempt: Attempt, faces: FaceFinder, options: PackOptions | None = None, **character: Any) -> None:
    row = a_row(**character)
    await PackHandler(options, faces).run(a_session(row), PackParams.model_validate(row), attempt)


def states(attempt: Attempt) -> list[str]:
    return [facts["similarity_state"] for _, facts in sorted(attempt.facts().items())]


async def test_a_pack_of_one_face_is_drawn_beside_its_first_image_and_every_likeness_is_stored(
    faces: FaceFinder,
) -> None:
    attempt = Attempt(lambda prompt, _: "mirrored" if "smile" in prompt else "her")
    await run(attempt, faces)
    assert attempt.did[:5] == ["judged", "0/5", "generated 1 after 0 of 5", "saved 01.jpg", "1/5"], "shown at once"
    assert attempt.did[5] == "generated 4 after 1 of 5"
    first, others = attempt.asked
    assert (first.references, len(others.references)) == ((), 1)
    with Image.open(io.BytesIO(others.references[0])) as reference:
        assert reference.tobytes() == picture("her").tobytes()
    assert {*first.seeds, *others.seeds} == {seed_of(CHARACTER, PackParams.model_validate(a_row()).character.style)}
    assert len(set(others.drawn_prompts)) == 4
    assert all("brown hair" in prompt for prompt in others.drawn_prompts)
    assert others.negative_prompt == first.negative_prompt
    assert states(attempt) == ["reference", *["measured"] * 4]
    assert attempt.facts()[0]["similarity"] is None
    assert all(attempt.facts()[n]["similarity"] > 0.99 for n in range(1, 5))
    assert (attempt.refund, attempt.result["completed_count"], attempt.result["missing"]) == (0, 5, [])
    assert attempt.result["cost_usd"] == pytest.approx(0.02)
    assert any("style_strength 0.8 was ignored" in note for note in attempt.result["notes"])
    assert PackHandler.retry_policy is RetryPolicy.PATIENT


async def test_every_image_has_a_small_webp_of_its_own_shape(faces: FaceFinder) -> None:
    attempt = Attempt()
    await run(attempt, faces)
    for artifact in attempt.saved:
        with Image.open(io.BytesIO(artifact.data)) as image, Image.open(io.BytesIO(artifact.thumbnail or b"")) as small:
            assert (image.format, image.size, artifact.width, artifact.height) == ("JPEG", (256, 192), 256, 192)
            assert (small.format, small.size) == ("WEBP", (256, 192))
        assert len(artifact.thumbnail or b"") < len(artifact.data) / 2


async def test_where_no_face_is_nothing_is_measured_and_everything_is_delivered_at_once(faces: FaceFinder) -> None:
    attempt = Attempt()
    await run(attempt, faces)
    assert states(attempt) == ["reference", *["not_measured"] * 4]
    assert len(attempt.asked) == 2
    assert attempt.refund == 0


async def test_an_image_of_another_face_is_drawn_again_alone_with_another_seed(faces: FaceFinder) -> None:
    locked = seed_of(CHARACTER, PackParams.model_validate(a_row()).character.style)

    def draw(prompt: str, seed: int) -> str:
        is_the_fourth = len(attempt.asked) > 1 and prompt == attempt.asked[1].prompts[2]
        return "other" if is_the_fourth and seed == locked else "her"

    attempt = Attempt(draw)
    await run(attempt, faces)
    assert [len(request.seeds) for request in attempt.asked] == [1, 4, 1]
    [again] = attempt.asked[2].seeds
    assert again != locked
    assert states(attempt) == ["reference", *["measured"] * 4]
    assert attempt.facts()[3]["seed"] == again
    assert [image["tries"] for image in attempt.result["images"]] == [1, 1, 1, 2, 1]


@pytest.mark.parametrize(("below", "delivered", "refund"), [("deliver", 5, 0), ("refund", 1, 4)])
async def test_a_face_that_stays_another_is_marked_or_refunded(
    faces: FaceFinder, below: str, delivered: int, refund: int
) -> None:
    attempt = Attempt(lambda prompt, _: "her" if "plain background" in prompt else "other")
    await run(attempt, faces, PackOptions(tries=1, below=below))  # type: ignore[arg-type]
    assert [len(request.seeds) for request in attempt.asked] == [1, 4, 4]
    assert (len(attempt.saved), attempt.refund) == (delivered, refund)
    if below == "deliver":
        assert states(attempt) == ["reference", *["below"] * 4]
        assert all(attempt.facts()[n]["similarity"] < 0.5 for n in range(1, 5))
    else:
        assert {image["reason"] for image in attempt.result["missing"]} == {"below_similarity"}


async def test_a_face_that_was_given_is_beside_every_image_and_measures_the_first_too(faces: FaceFinder) -> None:
    attempt = Attempt(her)
    await run(attempt, faces, face_reference_path=REFERENCE)
    assert attempt.did[:3] == ["judged", "0/5", "fetched character.face_reference_path"]
    assert len({request.references for request in attempt.asked}) == 1
    with Image.open(io.BytesIO(attempt.asked[0].references[0])) as reference:
        assert reference.size == (192, 256)
    assert states(attempt) == ["measured"] * 5


async def test_a_later_pack_is_drawn_beside_the_first_ones_reference_image(faces: FaceFinder) -> None:
    attempt = Attempt(her)
    await run(attempt, faces, reference_path=EARLIER)
    assert attempt.did[2] == "recalled character.reference_path"
    assert len({request.references for request in attempt.asked}) == 1
    assert len(attempt.asked[0].references) == 1
    assert states(attempt) == ["measured"] * 5


async def test_a_face_that_was_given_goes_before_an_earlier_packs(faces: FaceFinder) -> None:
    attempt = Attempt(her)
    await run(attempt, faces, reference_path=EARLIER, face_reference_path=REFERENCE)
    assert "recalled character.reference_path" not in attempt.did


async def test_a_reference_image_that_is_gone_is_drawn_anew_and_told(faces: FaceFinder) -> None:
    attempt = Attempt(her)
    await run(attempt, faces, reference_path="owner/character/removed.jpg")
    assert states(attempt) == ["reference", *["measured"] * 4]
    assert any("is gone" in note for note in attempt.result["notes"])


async def test_an_earlier_packs_reference_image_that_is_damaged_is_drawn_anew_and_told(faces: FaceFinder) -> None:
    attempt = Attempt(her)
    attempt.stored = person()[:2000]
    await run(attempt, faces, reference_path=EARLIER)
    assert attempt.did[2:4] == ["recalled character.reference_path", "generated 1 after 0 of 5"]
    assert attempt.asked[0].references == ()
    assert (states(attempt), attempt.refund) == (["reference", *["measured"] * 4], 0)
    assert any("gone or damaged" in note for note in attempt.result["notes"])


async def test_a_damaged_face_of_the_owners_own_is_his_to_mend(faces: FaceFinder) -> None:
    attempt = Attempt(her)
    attempt.stored = person()[:2000]
    with pytest.raises(InputUnavailable) as refused:
        await run(attempt, faces, face_reference_path=REFERENCE, reference_path=EARLIER)
    assert refused.value.details["field"] == "character.face_reference_path"
    assert attempt.asked == []


async def test_a_busy_hour_costs_no_character_its_face(faces: FaceFinder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "DECODE_S", 0)
    attempt = Attempt(her)
    with pytest.raises(InputUnreachable):
        await run(attempt, faces, reference_path=EARLIER)
    assert attempt.asked == []


async def test_beside_a_reference_without_a_face_nothing_is_measured_and_no_image_takes_its_place(
    faces: FaceFinder,
) -> None:
    attempt = Attempt(her)
    with io.BytesIO() as cat:
        picture("nobody").save(cat, "PNG")
        attempt.stored = cat.getvalue()
    await run(attempt, faces, reference_path=EARLIER)
    assert states(attempt) == ["not_measured"] * 5


async def test_a_failed_batch_is_drawn_one_by_one_and_only_what_fails_again_is_given_back(faces: FaceFinder) -> None:
    attempt = Attempt(fails={2: RuntimeDied(), 4: RuntimeDied()})
    await run(attempt, faces)
    assert [len(request.seeds) for request in attempt.asked] == [1, 4, 1, 1, 1, 1]
    assert sorted(attempt.facts()) == [0, 1, 3, 4]
    assert attempt.refund == 1
    [missing] = attempt.result["missing"]
    assert (missing["position"], missing["reason"]) == (2, "runtime_died")


async def test_a_busy_provider_is_asked_again_after_a_while_and_a_refused_picture_with_another_seed(
    faces: FaceFinder,
) -> None:
    attempt = Attempt(fails={2: ProviderBusy(retry_after_s=0.01), 3: ContentRejected()})
    await run(attempt, faces)
    refused, again = attempt.asked[2], attempt.asked[-1]
    assert (attempt.refund, len(attempt.saved)) == (1, 4), "it had failed before"
    assert refused.seeds == attempt.asked[0].seeds
    attempt = Attempt(fails={2: ContentRejected()})
    await run(attempt, faces)
    again = attempt.asked[2]
    assert (attempt.refund, len(attempt.saved)) == (0, 5)
    assert again.seeds != attempt.asked[1].seeds[:1]


async def test_a_pack_whose_first_image_fails_fails_as_a_whole(faces: FaceFinder) -> None:
    attempt = Attempt(fails={1: ProviderBusy()})
    with pytest.raises(ProviderBusy):
        await run(attempt, faces)
    assert (attempt.saved, attempt.refund) == ([], None)
    attempt = Attempt()
    attempt.unstorable = {"01.jpg"}
    with pytest.raises(StorageDown):
        await run(attempt, faces)


async def test_an_image_that_cannot_be_stored_is_missing_alone(faces: FaceFinder) -> None:
    attempt = Attempt()
    attempt.unstorable = {"03.jpg"}
    await run(attempt, faces)
    assert attempt.refund == 1
    assert [image["reason"] for image in attempt.result["missing"]] == ["storage_down"]


async def test_a_pack_that_keeps_nothing_fails(faces: FaceFinder) -> None:
    with pytest.raises(NothingProduced):
        await run(
            Attempt(lambda _prompt, _seed: "other"),
            faces,
            PackOptions(tries=0, below="refund"),
            face_reference_path=REFERENCE,
        )


async def test_a_cancelled_pack_has_said_what_is_there_and_what_goes_back(faces: FaceFinder) -> None:
    attempt = Attempt(fails={3: Cancelled()})
    with pytest.raises(Cancelled):
        await run(attempt, faces, PackOptions(batch=2))
    assert (len(attempt.saved), attempt.refund, attempt.result["completed_count"]) == (3, 2, 3)


async def test_when_time_is_short_what_is_there_is_delivered_and_the_rest_given_back(faces: FaceFinder) -> None:
    attempt = Attempt()
    attempt.round_s = 250.0
    await run(attempt, faces, PackOptions(batch=1))
    assert (len(attempt.saved), attempt.refund) == (2, 3)
    assert {image["reason"] for image in attempt.result["missing"]} == {"time_limit"}


async def test_a_generation_without_end_is_stopped_while_there_is_time_to_settle(faces: FaceFinder) -> None:
    class Endless(Attempt):
        async def generate(self, request: GenerationRequest, ready: int = 0, count: int | None = None) -> Generation:
            if ready:
                await asyncio.Event().wait()
            return await super().generate(request, ready, count)

        async def save(self, artifact: Artifact) -> SavedArtifact:
            ends_at = asyncio.get_running_loop().time() + 5.3
            self.remaining_s = lambda: ends_at - asyncio.get_running_loop().time()  # type: ignore[method-assign]
            return await super().save(artifact)

    attempt = Endless()
    await run(attempt, faces)
    assert (len(attempt.saved), attempt.refund) == (1, 4)


async def test_no_pack_is_lost_because_faces_cannot_be_found() -> None:
    broken = FaceFinder("handlers.faces.nowhere")
    attempt = Attempt()
    await run(attempt, broken)
    assert states(attempt) == ["reference", *["not_measured"] * 4]
    assert attempt.result["notes"].count("not every face was measured: the face process failed") == 1
    await broken.close()


async def test_a_face_process_that_hangs_costs_a_pack_neither_its_time_nor_an_image() -> None:
    hanging = FaceFinder()
    await hanging.find(*_pixels("nobody"))
    os.kill(hanging.pid or 0, signal.SIGSTOP)
    attempt = Attempt(her)
    attempt.left_s = SPARE_S + 0.1
    async with asyncio.timeout(FIND_S - 1):
        await run(attempt, hanging)
    assert (states(attempt), attempt.refund) == (["reference", *["not_measured"] * 4], 0)
    await hanging.find(*_pixels("nobody"))
    await hanging.close()


def _pixels(name: str) -> tuple[bytes, int, int]:
    image = picture(name)
    return image.tobytes(), image.width, image.height


async def test_a_first_image_of_another_face_is_better_than_none(faces: FaceFinder) -> None:
    attempt = Attempt(lambda prompt, _: "other" if "plain background" in prompt else "her", fails={2: ProviderBusy()})
    await run(attempt, faces, face_reference_path=REFERENCE)
    assert states(attempt) == ["below", *["measured"] * 4]
    assert attempt.refund == 0


async def test_unsafe_words_are_refused_before_anything_is_fetched_or_drawn(faces: FaceFinder) -> None:
    attempt = Attempt()
    with pytest.raises(ContentRejected):
        await run(attempt, faces, config=LOOKS | {"outfit_style": "naked"}, face_reference_path=REFERENCE)
    assert attempt.did == ["judged"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"config": {"age_range": [15, 17]}}, "character.config.age_range"),
        ({"config": LOOKS | {"mood": "sad"}}, "character.config.mood"),
        ({"style": {"style_strength": 2}}, "character.style.style_strength"),
        ({"face_reference_path": ""}, "character.face_reference_path"),
    ],
)
async def test_a_character_that_cannot_be_drawn_is_named_field_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidParams) as refused:
        validated(PackHandler(), a_session(a_row(**change)))
    assert [problem["field"] for problem in refused.value.details["fields"]] == [field]


@pytest.mark.parametrize("count", [4, 11, None])
async def test_a_pack_has_five_to_ten_images(count: int | None) -> None:
    with pytest.raises(ValidationError):
        PackParams.model_validate(a_row() | {"image_count": count})

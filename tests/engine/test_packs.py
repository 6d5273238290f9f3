"""Several artifacts of one attempt: thumbnails, facts, and what of the price goes back."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from listener.contract import Artifact, Context, GenerationRequest, Session
from listener.engine.context import AttemptContext
from listener.errors import Cancelled, TimeLimit
from tests.engine.engine_support import Bench, PortraitParams, running_of

FACTS = {"position": 1, "pose": "profile", "similarity": None}


def image(name: str, **fields: Any) -> Artifact:
    return Artifact(name, b"pixels", "image/png", 64, 64, **fields)


async def test_a_thumbnail_lies_beside_its_file_and_is_recorded_with_it(bench: Bench) -> None:
    async def pack(_session: Session, _params: PortraitParams, context: Context) -> None:
        for name in ("1.png", "2.png", "2.png"):
            await context.save(image(name, thumbnail=b"small"))

    row, _ = await bench.attempt(pack)
    prefix = row.session.path_prefix
    stored = {path: kind for (_, path), (data, kind) in bench.objects.objects.items() if data == b"small"}
    assert stored == {f"{prefix}.thumb.webp": "image/webp", f"{prefix}/2.thumb.webp": "image/webp"}
    assert {one.name: one.thumbnail_path for one in row.artifacts.values()} == {
        "1.png": f"{prefix}.thumb.webp",
        "2.png": f"{prefix}/2.thumb.webp",
    }


async def test_the_steps_of_a_part_are_told_as_progress_of_the_whole(bench: Bench) -> None:
    told: list[tuple[int, int]] = []

    async def pack(session: Session, _params: PortraitParams, context: Context) -> None:
        assert isinstance(context, AttemptContext)
        report = context.writer.report
        context.writer.report = lambda each: (told.append((each.done, each.total)), report(each))[1]  # type: ignore[method-assign]
        request = GenerationRequest("portrait", session.id, "a face", seeds=(1, 2))
        await context.generate(request)
        await context.generate(request, ready=2, count=8)

    await bench.attempt(pack)
    shares = [done / total for done, total in told]
    alone, part = shares[: len(shares) // 2], shares[len(shares) // 2 :]
    assert alone[-1] == 1
    assert part == [pytest.approx((2 + 2 * share) / 8) for share in alone]


async def test_no_row_names_a_thumbnail_that_was_not_stored(bench: Bench) -> None:
    async def pack(_session: Session, _params: PortraitParams, context: Context) -> None:
        await context.save(image("1.png"))

    row, _ = await bench.attempt(pack)
    assert row.artifacts["1.png"].thumbnail_path is None
    assert len(bench.objects.objects) == 1


@pytest.mark.parametrize(
    "second", [Artifact("2.jpg", b"", "image/jpeg", thumbnail=b"s"), Artifact("2.thumb.webp", b"", "image/webp")]
)
async def test_two_artifacts_never_share_a_file(bench: Bench, second: Artifact) -> None:
    async def pack(_session: Session, _params: PortraitParams, context: Context) -> None:
        for one in (image("1.png"), image("2.png", thumbnail=b"small"), second):
            await context.save(one)

    row, _ = await bench.attempt(pack)
    assert row.failure is not None
    assert row.failure.code == "generation_failed"
    assert set(row.artifacts) == {"1.png", "2.png"}


async def test_facts_are_kept_with_the_artifact_and_are_json(bench: Bench) -> None:
    async def pack(_session: Session, _params: PortraitParams, context: Context) -> None:
        await context.save(image("1.png", facts=FACTS))
        await context.save(image("2.png", facts={"similarity": float("nan")}))

    row, _ = await bench.attempt(pack)
    assert row.artifacts["1.png"].facts == FACTS
    assert row.failure is not None, "what is not JSON ends the attempt"
    assert set(row.artifacts) == {"1.png"}


async def test_a_pack_that_is_not_whole_gives_back_what_is_missing(bench: Bench) -> None:
    async def pack(_session: Session, _params: PortraitParams, context: Context) -> None:
        context.finish({"made": 5})
        context.finish({"made": 6}, refund_credits=2)

    row, _ = await bench.attempt(pack)
    assert (row.status, row.result, row.refund_credits) == ("completed", {"made": 6}, 2)


async def test_nobody_is_charged_by_a_refund(bench: Bench) -> None:
    async def greedy(_session: Session, _params: PortraitParams, context: Context) -> None:
        context.finish({}, refund_credits=-1)

    row, _ = await bench.attempt(greedy)
    assert row.status == "failed"


@pytest.mark.parametrize(("told", "refund"), [(True, 5), (False, None)])
async def test_a_pack_cancelled_in_the_middle_tells_what_it_made_as_far_as_it_knows(
    bench: Bench, told: bool, refund: int | None
) -> None:
    running = running_of(bench.store.add())

    async def pack(_session: Session, _params: PortraitParams, context: Context) -> None:
        await context.save(image("1.png"))
        if told:
            context.finish({"made": 1}, refund_credits=5)
        running.interruption.request(Cancelled())
        await asyncio.Event().wait()

    row, _ = await bench.attempt(pack, running=running)
    assert (row.status, row.refund_credits) == ("cancelled", refund)
    assert row.result == ({"made": 1} if told else {})


async def test_a_failed_pack_keeps_nothing_whatever_it_told_before(bench: Bench) -> None:
    async def pack(_session: Session, _params: PortraitParams, context: Context) -> None:
        context.finish({"made": 1}, refund_credits=5)
        raise TimeLimit

    row, _ = await bench.attempt(pack)
    assert (row.status, row.result, row.refund_credits) == ("failed", None, None)


def test_each_image_has_its_prompt_or_all_have_one() -> None:
    one = GenerationRequest("pack", uuid4(), "a face", (1, 2))
    assert one.drawn_prompts == ("a face", "a face")
    several = GenerationRequest("pack", uuid4(), "", (1, 2), prompts=("front", "profile"))
    assert several.drawn_prompts == ("front", "profile")
    assert "profile" not in repr(several)
    with pytest.raises(ValueError, match="1 prompts for 2 seeds"):
        GenerationRequest("pack", uuid4(), "", (1, 2), prompts=("front",))

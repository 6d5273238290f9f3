"""What a handler asks for comes from the owner's own uploads or from the internet, or the row says why it does not."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from listener.contract import Context, Fetched, RetryPolicy, Session
from listener.engine.attempt import AttemptRunner
from listener.engine.context import Outside
from listener.engine.inputs import AUDIO, PICTURES
from listener.engine.settle import Settler
from listener.errors import (
    Cancelled,
    InputUnavailable,
    InputUnreachable,
    StoreRejected,
    StoreUnavailable,
)
from listener.telemetry import log
from tests.engine.engine_support import Bench, PortraitParams, Row, TestHandler, running_of

URL = "https://pictures.example.com/a.png?token=CANARY"
PICTURE = Fetched(b"pixels", "image/png")


def fetching(source: str, got: list[Fetched]) -> Any:
    async def act(_session: Session, _params: PortraitParams, context: Context) -> None:
        got.append(await context.fetch(source, "image_urls.0"))

    return act


async def attempt(bench: Bench, source: str, *, policy: RetryPolicy = RetryPolicy.PATIENT, **fields: Any) -> Row:
    session = bench.store.add(**fields)
    row = bench.store.rows[session.id]
    row.status = "processing"
    handler = TestHandler(fetching(source, []))
    handler.retry_policy = policy  # type: ignore[attr-defined]
    outside = Outside(bench.store, bench.objects, bench.inputs, bench.generator, bench.clock, 3600, 0.0)
    runner = AttemptRunner({"headshot": handler}, outside, Settler(bench.store, 5.0))
    with log.attempt(session):
        await runner.run(session, running_of(session), log.get("test"))
    return row


async def test_a_url_and_an_own_upload_are_fetched(bench: Bench, logged: Any) -> None:
    owner = uuid4()
    bench.pages.pages[URL] = PICTURE
    bench.objects.objects["uploads", f"{owner}/me.png"] = (b"mine", "image/jpeg")
    got: list[Fetched] = []
    for source in (URL, f"{owner}/me.png"):
        await bench.attempt(fetching(source, got), owner=owner)
    assert got == [PICTURE, Fetched(b"mine", "image/jpeg")]
    assert [line["size_bytes"] for line in logged("input_fetched")] == [6, 4]
    assert "CANARY" not in str(logged())


async def test_sound_has_limits_of_its_own_whichever_way_it_comes(bench: Bench) -> None:
    owner = uuid4()
    bench.pages.pages[URL] = bench.pages.pages[URL + "2"] = PICTURE
    bench.objects.objects["uploads", f"{owner}/me.wav"] = (b"mine", "audio/wav")

    async def act(_session: Session, _params: PortraitParams, context: Context) -> None:
        await context.fetch(URL, "audio_url", "audio")
        await context.fetch(f"{owner}/me.wav", "audio_url", "audio")
        await context.fetch(URL + "2", "image_url")

    await bench.attempt(act, owner=owner)
    assert bench.pages.asked == [AUDIO, PICTURES]
    assert bench.objects.asked == [AUDIO]
    assert AUDIO.size_max_bytes == 50 * 2**20
    assert not AUDIO.content_types & PICTURES.content_types


async def test_a_store_has_a_folder_of_its_own_and_a_user_none_of_another(bench: Bench) -> None:
    store, user = uuid4(), uuid4()
    bench.objects.objects["uploads", f"{store}/shirt.png"] = (b"shirt", "image/png")
    assert (await attempt(bench, f"{store}/shirt.png", owner=store)).status == "completed"
    row = await attempt(bench, f"{store}/shirt.png", owner=user)
    assert row.status == "failed"
    assert row.failure is not None
    assert (row.failure.code, row.failure.details["field"]) == ("input_unavailable", "image_urls.0")
    assert row.failure.details["problem"] == "lies outside of your own folder"
    assert str(store) not in str(row.failure)


@pytest.mark.parametrize("source", ["", "/", "//169.254.169.254/x", "../other/a.png", "a.png", "\\\\host\\share"])
async def test_what_is_neither_a_url_nor_a_path_is_refused(bench: Bench, source: str) -> None:
    row = await attempt(bench, source)
    assert row.failure is not None
    assert row.failure.code == "input_unavailable"
    assert row.failure.details["remedy"]


@pytest.mark.parametrize(
    ("error", "policy", "settled", "code"),
    [
        (InputUnavailable(details={"problem": "x"}), RetryPolicy.PATIENT, "fail.1", "input_unavailable"),
        (InputUnavailable(details={"problem": "x"}), RetryPolicy.STRICT, "fail.1", "input_unavailable"),
        (InputUnreachable(details={"problem": "x"}), RetryPolicy.PATIENT, "retry.1", "input_unreachable"),
        (InputUnreachable(details={"problem": "x"}), RetryPolicy.STRICT, "fail.1", "input_unreachable"),
    ],
)
async def test_only_what_may_pass_is_tried_again_and_never_under_the_strict_policy(
    bench: Bench, error: Exception, policy: RetryPolicy, settled: str, code: str
) -> None:
    bench.pages.faults = [error]
    row = await attempt(bench, URL, policy=policy)
    assert row.settled_as == settled
    assert row.failure is not None
    assert (row.failure.code, row.failure.details["field"]) == (code, "image_urls.0")
    assert "CANARY" not in str(row.failure)


async def test_a_storage_that_is_away_for_a_moment_is_asked_again(bench: Bench) -> None:
    owner = uuid4()
    bench.objects.objects["uploads", f"{owner}/me.png"] = (b"mine", "image/png")
    bench.objects.faults = [StoreUnavailable("503")]
    assert (await attempt(bench, f"{owner}/me.png", owner=owner)).status == "completed"
    bench.objects.faults = [StoreRejected("Bucket not found")]
    row = await attempt(bench, f"{owner}/me.png", owner=owner)
    assert row.failure is not None
    assert row.failure.code == "storage_refused"


async def test_a_cancelled_attempt_fetches_nothing(bench: Bench) -> None:
    session = bench.store.add()
    running = running_of(session)
    running.interruption.request(Cancelled())
    row, _ = await bench.attempt(fetching(URL, []), running)
    assert row.status == "cancelled"

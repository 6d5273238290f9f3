"""Every prompt is judged on its way to the generator, once an attempt, and a refusal costs no generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from listener.contract import Context, GenerationRequest, RetryPolicy, Session
from listener.engine.attempt import AttemptRunner
from listener.engine.context import Outside
from listener.engine.settle import Settler
from listener.errors import ContentRejected, ModerationDown, ProviderBusy
from listener.telemetry import log
from tests.engine.engine_support import Bench, PortraitParams, TestHandler, running_of


class Judge:
    """Refuses what holds a word; keeps what it was asked."""

    def __init__(self, error: Exception | None = None, word: str = "bad") -> None:
        self.asked: list[dict[str, str]] = []
        self._error = error
        self._word = word

    async def judge(self, texts: Mapping[str, str]) -> None:
        self.asked.append(dict(texts))
        if self._error is not None and any(self._word in text for text in texts.values()):
            raise self._error

    async def close(self) -> None: ...


async def run(judge: Judge, act: Any = None, policy: RetryPolicy | None = None, **fields: Any) -> Any:
    """One attempt under a moderator."""
    bench = Bench()
    session = bench.store.add(**fields)
    row = bench.store.rows[session.id]
    row.status = "processing"
    handler = TestHandler(act)
    if policy is not None:
        handler.retry_policy = policy  # type: ignore[attr-defined]
    outside = Outside(bench.store, bench.objects, bench.inputs, bench.generator, bench.clock, 3600, 0.0, judge)
    runner = AttemptRunner({"headshot": handler}, outside, Settler(bench.store, 5.0))
    with log.attempt(session):
        await runner.run(session, running_of(session), log.get("test"))
    return row, bench


async def test_a_refused_prompt_fails_before_the_generator_and_is_told() -> None:
    refusal = ContentRejected(details={"field": "prompt", "rule": "x"})
    row, bench = await run(Judge(refusal), params={"prompt": "bad words"})
    assert (row.status, row.failure.code) == ("failed", "content_rejected")
    assert row.failure.details["field"] == "prompt"
    assert not bench.generator.reached.is_set()


async def test_a_good_prompt_is_judged_and_drawn() -> None:
    judge = Judge(ContentRejected())
    row, _ = await run(judge, params={"prompt": "good words"})
    assert row.status == "completed"
    assert judge.asked == [{"prompt": "good words"}]


async def test_the_same_words_are_judged_once_and_new_ones_again() -> None:
    async def pack(session: Session, params: PortraitParams, context: Context) -> None:
        for n, negative in enumerate([None, None, "blur"]):
            await context.generate(GenerationRequest("headshot", session.id, params.prompt, (n,), negative))
        await context.judge({"outfit": "a hat"})

    judge = Judge()
    row, _ = await run(judge, pack, params={"prompt": "a face"})
    assert row.status == "completed"
    assert judge.asked == [{"prompt": "a face"}, {"negative_prompt": "blur"}, {"outfit": "a hat"}]


@pytest.mark.parametrize(
    ("policy", "settled"), [(RetryPolicy.PATIENT, "retry.1"), (RetryPolicy.STRICT, "fail.1"), (None, "retry.1")]
)
async def test_a_handler_names_its_retry_policy(policy: RetryPolicy | None, settled: str) -> None:
    row, _ = await run(Judge(ModerationDown()), policy=policy, params={"prompt": "bad"})
    assert row.settled_as == settled
    assert row.failure.code == "moderation_down"


async def test_a_busy_provider_is_tried_again_after_ten_seconds_under_the_strict_policy() -> None:
    async def busy(*_: Any) -> None:
        raise ProviderBusy

    row, _ = await run(Judge(), busy, RetryPolicy.STRICT)
    assert (row.settled_as, row.delay_s) == ("retry.1", 10)
    row, _ = await run(Judge(), busy, RetryPolicy.STRICT, failures=1, max_attempts=3)
    assert row.settled_as == "fail.1"


async def test_a_failure_inside_a_group_of_tasks_keeps_its_name() -> None:
    async def several(*_: Any) -> None:
        raise ExceptionGroup("two images", [RuntimeError("x"), ContentRejected(details={"field": "prompt"})])

    row, _ = await run(Judge(), several)
    assert row.failure.code == "content_rejected"


async def test_each_prompt_of_several_is_judged_and_named() -> None:
    async def pack(session: Session, _params: PortraitParams, context: Context) -> None:
        await context.generate(GenerationRequest("headshot", session.id, "", (1, 2), prompts=("front", "profile")))

    judge = Judge()
    await run(judge, pack)
    assert judge.asked == [{"prompts.0": "front", "prompts.1": "profile"}]

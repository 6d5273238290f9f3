"""The verdict table is complete under every policy, and a subclass of a handler's own is judged like its parent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from listener import errors
from listener.contract import RetryPolicy
from listener.engine.verdict import (
    RULES,
    Cancel,
    Delays,
    Fail,
    Release,
    Retry,
    Rule,
    Verdict,
    WriteNothing,
    verdict_of,
)
from listener.errors import AttemptFailure, AttemptInterrupted
from tests.engine.engine_support import a_session

AT = datetime(2026, 1, 1, tzinfo=UTC)
DELAYS = Delays(first_s=2, factor=3, limit_s=10)
PATIENT, STRICT = RetryPolicy.PATIENT, RetryPolicy.STRICT


def tree(root: type[errors.ListenerError]) -> Iterator[type[errors.ListenerError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__.startswith("listener.errors."):
            yield from tree(child)


CLASSES = [*tree(AttemptFailure), *tree(AttemptInterrupted)]
KINDS: dict[Rule, type[Verdict]] = {
    Rule.FAIL: Fail,
    Rule.RETRY: Retry,
    Rule.RETRY_ONCE: Retry,
    Rule.CANCEL: Cancel,
    Rule.RELEASE: Release,
    Rule.WRITE_NOTHING: WriteNothing,
}


def judged(error: AttemptFailure | AttemptInterrupted, policy: RetryPolicy = PATIENT, failures: int = 0) -> Verdict:
    return verdict_of(error, a_session(failures=failures), policy, AT, DELAYS)


@pytest.mark.parametrize("policy", RetryPolicy)
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_of_the_taxonomy_has_a_row_in_the_table(kind: type[AttemptFailure], policy: RetryPolicy) -> None:
    assert kind in RULES, f"{kind.__name__} needs a row"
    assert isinstance(judged(kind(), policy), KINDS[RULES[kind].under(policy)])


def test_the_table_names_no_class_that_is_not_in_the_taxonomy() -> None:
    assert set(RULES) == set(CLASSES)


@pytest.mark.parametrize(
    ("error", "verdicts"),
    [
        (errors.ProviderBusy(), [Retry, Fail]),
        (errors.ContentRejected(), [Fail]),
        (errors.ProviderDown(), [Fail]),
        (errors.ProviderRefused(), [Fail]),
        (errors.ProviderMisconfigured(), [Fail]),
        (errors.InputUnavailable(), [Fail]),
        (errors.StorageDown(), [Fail]),
        (errors.ModerationDown(), [Fail]),
        (errors.TimeLimit(), [Fail]),
        (errors.GenerationFailed(), [Fail]),
        (errors.RuntimeDied(), [Retry, Fail]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_strict_policy_tries_a_busy_provider_once_more_and_fails_everything_else_at_once(
    error: AttemptFailure, verdicts: list[type[Verdict]]
) -> None:
    assert [type(judged(error, STRICT, failures)) for failures in range(len(verdicts))] == verdicts


@pytest.mark.parametrize(("asked_s", "delay_s"), [(None, 10), (3.0, 10), (25.0, 25)])
def test_a_busy_provider_is_left_alone_for_ten_seconds_or_as_long_as_it_asks(
    asked_s: float | None, delay_s: float
) -> None:
    for policy in RetryPolicy:
        verdict = judged(errors.ProviderBusy(retry_after_s=asked_s), policy)
        assert isinstance(verdict, Retry)
        assert verdict.delay_s == delay_s


@pytest.mark.parametrize(
    "error", [errors.Transient(), errors.ProviderDown(), errors.StorageDown(), errors.ModerationDown()]
)
def test_the_patient_policy_waits_longer_after_each_failure_up_to_the_limit(error: AttemptFailure) -> None:
    delays = [judged(error, PATIENT, failures) for failures in range(4)]
    assert [verdict.delay_s for verdict in delays if isinstance(verdict, Retry)] == [2, 6, 10, 10]


def test_one_more_try_is_not_put_off_for_longer_than_an_owner_waits() -> None:
    busy = errors.ProviderBusy(retry_after_s=900.0)
    delays = [judged(busy, policy) for policy in (RetryPolicy.STRICT, RetryPolicy.PATIENT)]
    assert [verdict.delay_s for verdict in delays if isinstance(verdict, Retry)] == [60, 900]


@pytest.mark.parametrize(
    ("asked_s", "delay_s"), [(0.0, 0), (-5.0, 0), (7.5, 7.5), (1e9, 3600), (float("inf"), 3600), (float("nan"), 2)]
)
def test_a_delay_that_another_side_names_is_obeyed_within_bounds(asked_s: float, delay_s: float) -> None:
    verdict = judged(errors.Transient(retry_after_s=asked_s))
    assert isinstance(verdict, Retry)
    assert verdict.delay_s == delay_s


@pytest.mark.parametrize("policy", RetryPolicy)
def test_a_session_that_ends_two_generation_processes_fails(policy: RetryPolicy) -> None:
    first = judged(errors.RuntimeDied(), policy, failures=0)
    assert isinstance(first, Retry)
    assert first.delay_s == 0, "it is back in the queue at once"
    assert isinstance(judged(errors.RuntimeDied(), policy, failures=1), Fail)


def test_a_subclass_of_a_handler_is_judged_like_its_parent() -> None:
    class QueueFull(errors.ProviderBusy):
        code = "queue_full"

    class Whim(AttemptFailure):
        code = "whim"

    verdict = judged(QueueFull(), STRICT)
    assert isinstance(verdict, Retry)
    assert verdict.failure.code == "queue_full"
    assert isinstance(judged(Whim()), Fail)

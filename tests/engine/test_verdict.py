"""The verdict table is complete, and a subclass of a handler's own is judged like its parent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from listener import errors
from listener.engine.verdict import RULES, Cancel, Fail, Release, Retry, RetryPolicy, Rule, WriteNothing, verdict_of
from listener.errors import AttemptFailure, AttemptInterrupted
from tests.engine.engine_support import a_session

AT = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(first_delay_s=2, factor=3, limit_s=10)


def tree(root: type[errors.ListenerError]) -> Iterator[type[errors.ListenerError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == "listener.errors":
            yield from tree(child)


CLASSES = [*tree(AttemptFailure), *tree(AttemptInterrupted)]
KINDS = {
    Rule.FAIL: Fail,
    Rule.RETRY: Retry,
    Rule.RETRY_ONCE: Retry,
    Rule.CANCEL: Cancel,
    Rule.RELEASE: Release,
    Rule.WRITE_NOTHING: WriteNothing,
}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_of_the_taxonomy_has_a_row_in_the_table(kind: type[AttemptFailure]) -> None:
    assert kind in RULES
    verdict = verdict_of(kind(), a_session(), POLICY, AT)
    assert isinstance(verdict, KINDS[RULES[kind]])


def test_the_table_names_no_class_that_is_not_in_the_taxonomy() -> None:
    assert set(RULES) == set(CLASSES)


def test_a_retry_waits_longer_after_each_failure_up_to_the_limit() -> None:
    delays = [verdict_of(errors.Transient(), a_session(failures=n), POLICY, AT) for n in range(4)]
    assert [verdict.delay_s for verdict in delays if isinstance(verdict, Retry)] == [2, 6, 10, 10]


def test_a_provider_that_names_the_delay_is_obeyed() -> None:
    verdict = verdict_of(errors.Transient(retry_after_s=0.0), a_session(), POLICY, AT)
    assert isinstance(verdict, Retry)
    assert verdict.delay_s == 0.0


def test_a_session_that_ends_two_generation_processes_fails() -> None:
    assert isinstance(verdict_of(errors.RuntimeDied(), a_session(failures=0), POLICY, AT), Retry)
    assert isinstance(verdict_of(errors.RuntimeDied(), a_session(failures=1), POLICY, AT), Fail)


def test_the_row_gets_fixed_words_type_and_time_and_never_the_foreign_text() -> None:
    verdict = verdict_of(errors.InputUnavailable("http://10.0.0.1/ said no"), a_session(), POLICY, AT)
    assert isinstance(verdict, Fail)
    assert verdict.failure.message == errors.InputUnavailable.public_message
    assert verdict.failure.details == {"type": "InputUnavailable", "timestamp": AT.isoformat()}


def test_a_subclass_of_a_handler_is_judged_like_its_parent() -> None:
    class ProviderBusy(errors.Transient):
        code = "provider_busy"

    verdict = verdict_of(ProviderBusy(), a_session(), POLICY, AT)
    assert isinstance(verdict, Retry)
    assert verdict.failure.code == "provider_busy"

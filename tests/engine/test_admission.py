"""Why a worker claims nothing: the first reason counts, each is told once, and a lasting one once more."""

from __future__ import annotations

from listener.engine.admission import HOLD, LASTING_S, Admission
from listener.telemetry import log
from tests.engine.conftest import Lines
from tests.engine.engine_support import HandClock


def an_admission(**reasons: str | None) -> tuple[Admission, HandClock, dict[str, str | None]]:
    clock, told = HandClock(), dict(reasons)
    return Admission({name: lambda name=name: told[name] for name in told}, clock, log.get("test")), clock, told  # type: ignore[misc]


def test_every_cause_can_be_named_before_it_is_one() -> None:
    admission, _, _ = an_admission(lease=None, memory=None)
    assert admission.causes == (HOLD, "lease", "memory")
    assert (admission.cause(), admission.refusal()) == (None, None)


def test_the_first_reason_counts_and_a_hold_before_all_until_its_time_is_over() -> None:
    admission, clock, told = an_admission(lease=None, memory="full")
    assert (admission.cause(), admission.refusal()) == ("memory", "full")
    told["lease"] = "gone"
    assert (admission.cause(), admission.refusal()) == ("lease", "gone")
    admission.hold("a pause", 5)
    assert (admission.cause(), admission.held()) == (HOLD, "a pause")
    clock.at += 5
    assert (admission.cause(), admission.held()) == ("lease", None)


def test_a_cause_is_told_when_it_begins_and_ends_and_once_more_when_it_lasts(logged: Lines) -> None:
    admission, clock, told = an_admission(memory="full")
    for _ in range(3):
        admission.refusal()
    clock.at += LASTING_S
    for _ in range(3):
        admission.refusal()
    told["memory"] = None
    admission.refusal()
    events = [line["event"] for line in logged()]
    assert events == ["claims_paused", "claims_still_paused", "claims_resumed"]
    (line,) = logged("claims_still_paused")
    assert (line["cause"], line["lasting_s"], line["level"]) == ("memory", LASTING_S, "error")

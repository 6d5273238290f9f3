"""What the conformance table promises of itself, whatever the players find."""

from __future__ import annotations

import re

import jwt
import pytest

from devstack.tokens import ProjectKeys
from tests.conformance.masks import masked, masked_value
from tests.conformance.recording import RECORDINGS, exchanges, labels, scenarios
from tests.conformance.report import BEGIN, END, Case, Reasons, Verdict, complaints, explained, share, table, written
from tests.conformance.tokens import signed_again, standing_in

NONE = Reasons({}, {})


@pytest.mark.parametrize(("service", "count"), [("rest", 221), ("storage", 172), ("realtime", 43)])
def test_every_recorded_case_has_a_label_of_its_own(service: str, count: int) -> None:
    found = labels(RECORDINGS, service)
    assert len(found) == len(set(found)) == count


def test_the_recordings_are_complete() -> None:
    assert all(pair.response.status for service in ("rest", "storage") for pair in exchanges(RECORDINGS, service))
    assert sum(len(scenario.lines) for scenario in scenarios(RECORDINGS)) == 1049


def test_a_difference_without_a_reason_is_a_complaint() -> None:
    cases = explained([Case.compared("a", ["status: 200, not 201"])], NONE)
    assert complaints(cases, NONE, ["a"]) == ["differs, and no reason is written down: a\nstatus: 200, not 201"]


def test_a_reason_for_what_conforms_is_a_complaint() -> None:
    reasons = Reasons({"a": "not built"}, {"b": "other words"})
    cases = explained([Case.compared("a", []), Case.compared("b", [])], reasons)
    assert len(complaints(cases, reasons, ["a", "b"])) == 2
    assert share(cases) == 1


def test_a_case_that_nobody_played_is_a_complaint_and_so_is_an_invented_one() -> None:
    assert complaints([Case.compared("b", [])], NONE, ["a"]) == ["not played: a", "played, but not recorded: b"]


def test_a_reason_for_a_case_that_does_not_exist_is_a_complaint() -> None:
    assert complaints([], Reasons({"gone": "x"}, {}), []) == ["a reason for what is not recorded: gone"]


def test_refused_on_purpose_is_not_conforming() -> None:
    cases = explained([Case.compared("a", ["x"]), Case.compared("b", [])], Reasons({"a": "not built"}, {}))
    assert [case.verdict for case in cases] == [Verdict.REFUSED, Verdict.CONFORMS]
    assert share(cases) == 0.5
    assert "| a | refused | not built |" in table({"rest": cases})
    assert re.search(r"REST \| 2 \| 1 \(50.0%\) \| 1 \| 0", table({"rest": cases}))


def test_the_table_replaces_only_what_lies_between_the_markers() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert written(page, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert written(written(page, "new\n"), "new\n") == written(page, "new\n")
    with pytest.raises(ValueError, match="needs the lines"):
        written("no markers", "new")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("090ab858-6a94-4cfb-9777-eff804012380", "84541445-b3f9-4109-913a-74e9ae51d34a"),
        ("2026-11-20T07:49:50.968536+00:00", "2027-01-01 00:00:00Z"),
        ("Fri, 20 Nov 2026 07:49:50 GMT", "Mon, 01 Feb 2027 00:00:00 GMT"),
        ("http://127.0.0.1:4000/x", "http://localhost:54321/x"),
        ('{"exp": 1}', '{"exp":22}'),
    ],
)
def test_what_no_two_runs_share_is_masked(one: str, other: str) -> None:
    assert masked(one) == masked(other) != one


def test_what_two_runs_share_stays() -> None:
    assert masked_value({"status": 409, "message": "Duplicate", "n": [1, None]}) == {
        "status": 409,
        "message": "Duplicate",
        "n": [1, None],
    }


def test_a_recorded_token_is_signed_again_and_keeps_its_age() -> None:
    keys = ProjectKeys.generate()
    recorded = jwt.encode(
        {"role": "anon", "exp": 1_000_060}, "a throwaway secret of the recorded run", algorithm="HS256"
    )
    assert keys.decode(signed_again(recorded, keys, 1_000_000))["role"] == "anon"
    with pytest.raises(jwt.ExpiredSignatureError):
        keys.decode(signed_again(recorded, keys, 1_000_100))
    with pytest.raises(jwt.InvalidSignatureError):
        keys.decode(signed_again(recorded, keys, 1_000_000, wrongly=True))
    assert signed_again("not.a.jwt", keys, 0) == "not.a.jwt"


def test_every_placeholder_of_the_recordings_has_a_token() -> None:
    text = "".join((RECORDINGS / f"{service}.jsonl").read_text() for service in ("rest", "storage"))
    names = set(re.findall(r"Bearer <(\w+)(?: jwt)?>", text))
    assert names <= standing_in(ProjectKeys.generate()).keys()

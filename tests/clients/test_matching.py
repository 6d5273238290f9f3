"""The judge of the scenarios is itself no soft touch: each rule refuses what it should."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.matching import filled, misses
from tests.clients.scenario import Scenario, judge

CHANGES = [{"event": "INSERT", "n": 1}, {"event": "UPDATE", "n": 2}]


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        (1, 1),
        ({"a": 1}, {"a": 1, "b": 2}),
        ([{"a": 1}], [{"a": 1, "b": 2}]),
        ("~uuid", "090ab858-6a94-4cfb-9777-eff804012380"),
        ("~null", None),
        ("~number", 0.5),
        ("~/^ab/", "abc"),
        ({"~first": {"event": "INSERT"}, "~last": {"n": 2}, "~some": {"n": 2}, "~rising": "n"}, CHANGES),
    ],
)
def test_what_is_as_expected_has_no_misses(expected: Any, seen: Any) -> None:
    assert misses(expected, seen) == []


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        (1, 2),
        (1, None),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, [1]),
        ([], [1]),
        ([1], []),
        ("~uuid", "no"),
        ("~text", ""),
        ("~null", 0),
        ("~number", True),
        ("~number", "1"),
        ("~/^b/", "abc"),
        ({"~first": {"event": "UPDATE"}}, CHANGES),
        ({"~last": {"n": 1}}, CHANGES),
        ({"~some": {"n": 3}}, CHANGES),
        ({"~some": {"n": 3}}, []),
        ({"~rising": "n"}, CHANGES[::-1]),
        ({"~rising": "n"}, [CHANGES[0], CHANGES[0]]),
    ],
)
def test_what_is_not_as_expected_is_told(expected: Any, seen: Any) -> None:
    assert misses(expected, seen) != []


def test_a_rule_that_does_not_exist_is_an_error_and_no_silence() -> None:
    with pytest.raises(ValueError, match="no such rule: ~frist"):
        misses({"~frist": 1}, CHANGES)


def test_a_reference_alone_keeps_its_type_and_inside_a_text_becomes_text() -> None:
    known = {"row": {"sizes": [{"px": 64}]}}
    assert filled({"a": "$row.sizes.0.px", "b": ["x-$row.sizes.0.px/y", "${row.sizes.0.px}z"]}, known) == {
        "a": 64,
        "b": ["x-64/y", "64z"],
    }


@pytest.mark.parametrize(
    ("step", "told", "words"),
    [
        ({"do": "x", "expect": 1}, [], "step 1, me: x: not reached"),
        ({"do": "x"}, [{"refused": {"code": "1"}}], "refused with"),
        ({"do": "x", "refused": {"code": "1"}}, [{"answer": None}], "was not refused"),
        ({"do": "x", "refused": {"code": "1"}}, [{"refused": {"code": "2"}}], "'2', not '1'"),
        ({"by": "you", "do": "x", "expect": "$run.row"}, [{"answer": 1}], "step 1, you: x"),
    ],
)
def test_a_step_that_went_otherwise_fails_the_scenario(step: Any, told: Any, words: str) -> None:
    (miss,) = judge(Scenario("s", "", [step], run={"row": 2}), told)
    assert words in miss

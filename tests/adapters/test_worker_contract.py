"""Workers that were built for an earlier schema go on working: their calls, recorded then, mean the same today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from listener.engine.heartbeat import SCHEMA_VERSION
from tests.support.worker_contract import Call, misfits, played, recorded

RECORDS = sorted((Path(__file__).parent / "contracts").glob("v*.json"))
OF_A_RUN = {"beats", "created_at", "schema_version", "oldest_worker", "request_id"}
"""Values that differ from run to run, or grow with the schema."""


def read(path: Path) -> list[Call]:
    record: list[Call] = json.loads(path.read_text(encoding="utf-8"))
    return record


def arguments(calls: list[Call]) -> list[Any]:
    """Names of functions, arguments and items, without their values."""
    return [
        (call["function"], sorted(call["body"]), [sorted(item) for item in call["body"].get("p_items", [])])
        for call in calls
    ]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
async def test_the_calls_of_an_earlier_worker_are_answered_as_it_knows_them(stack: Stack, path: Path) -> None:
    record = read(path)
    today = await played(stack, record)
    found = [
        misfit
        for then, now in zip(record, today, strict=True)
        for misfit in misfits(then["answer"], now["answer"], then["function"], lambda name: name not in OF_A_RUN)
    ]
    assert found == []


async def test_the_record_of_this_schema_version_is_what_this_worker_sends(stack: Stack) -> None:
    record = read(RECORDS[0].with_name(f"v{SCHEMA_VERSION}.json"))
    assert arguments(await recorded(stack)) == arguments(record)


def test_a_missing_key_another_type_and_another_outcome_are_seen() -> None:
    then = {"rows": [{"session": "a", "outcome": "applied", "attempt": 1}]}
    for now, words in (
        ({"rows": [{"session": "a", "outcome": "applied"}]}, "attempt is missing"),
        ({"rows": [{"session": "a", "outcome": "applied", "attempt": "1"}]}, "attempt: 1 became '1'"),
        ({"rows": [{"session": "a", "outcome": "refused", "attempt": 1}]}, "'applied' became 'refused'"),
        ({"rows": []}, "became []"),
    ):
        (misfit,) = misfits(then, now, "answer", lambda name: name == "outcome")
        assert words in misfit
    more = {"rows": [{"session": "a", "outcome": "applied", "attempt": 1, "new": True}], "also": 1}
    assert misfits(then, more, "answer", lambda _: True) == []

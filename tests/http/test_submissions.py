"""From JSON to a row: what is taken, under which id, and what is the same request again."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field

from listener.api import Caller, OwnedTable
from listener.http.refusal import Refused
from listener.http.submissions import Submission, submission

INPUTS = {"id", "store_id", "task_id", "channel", "image_urls", "prompt", "request_id", "payload_version", "created_at"}
TABLE = OwnedTable("public", "things", "tryon", "id", "store_id", frozenset(INPUTS), {"status": "status"})
US = Caller(UUID(int=1), "store_id")


class Params(BaseModel):
    prompt: str = Field(max_length=10)


def taken(payload: Any, caller: Caller = US, key: str | None = None) -> Submission:
    return submission(payload, TABLE, caller, key, None)


def test_the_same_name_of_the_same_owner_is_the_same_id_and_of_another_never() -> None:
    first = taken({"task_id": "t"}).row["id"]
    assert taken({"task_id": "t", "prompt": "x"}).row["id"] == first
    assert taken({"session_id": "t"}).row["id"] != first, "the two kinds of names do not meet"
    assert taken({"task_id": "t"}, Caller(UUID(int=2), "store_id")).row["id"] != first
    assert taken({}).row["id"] != taken({}).row["id"]
    assert taken({"task_id": "t"}, key="key:a").row["id"] == taken({"task_id": "u"}, key="key:a").row["id"]


def test_their_names_of_fields_are_ours_and_what_has_no_column_is_left_out() -> None:
    given = {"version": 1, "session_id": str(uuid4()), "user_id": "u", "created_at": "2026-11-20", "prompt": "x"}
    row = taken({**given, "store_id": str(US.owner).upper()}).row
    assert set(row) == {"id", "store_id", "payload_version", "prompt"}
    assert row["store_id"] == str(US.owner)


@pytest.mark.parametrize("field", ["id", "status", "result", "progress", "error_code", "no_such", "x" * 200, 'a"b'])
def test_a_field_that_is_not_the_callers_is_refused_and_not_repeated(field: str) -> None:
    with pytest.raises(Refused) as refused:
        taken({field: "CANARY"})
    assert (refused.value.status, refused.value.code) == (422, "INVALID_PARAMS")
    assert refused.value.details["fields"][0]["rule"] == "extra_forbidden"
    assert "CANARY" not in str(refused.value.details)


@pytest.mark.parametrize("value", ["a\0CANARY", ["x", "\0"], [{"\0": 1}], {"a": ["\0"]}])
def test_what_no_database_can_store_is_refused_by_the_name_of_its_field(value: object) -> None:
    with pytest.raises(Refused) as refused:
        taken({"prompt": value, "task_id": "t"})
    (problem,) = refused.value.details["fields"]
    assert (refused.value.status, problem["field"], problem["rule"]) == (422, "prompt", "string_unstorable")
    assert "CANARY" not in str(refused.value.details)


def test_the_handlers_own_rules_hold_before_anything_is_paid() -> None:
    with pytest.raises(Refused) as refused:
        submission({"prompt": "far too long"}, TABLE, US, None, Params)
    (problem,) = refused.value.details["fields"]
    assert (problem["field"], problem["remedy"]) == ("prompt", "give at most 10 characters")


@pytest.mark.parametrize(
    ("given", "stored", "repeats"),
    [
        ({"prompt": "x"}, {"prompt": "x", "channel": "b2b"}, True),
        ({"prompt": "x"}, {"prompt": "y"}, False),
        ({"image_urls": ["a", "b"]}, {"image_urls": ["b", "a"]}, False),
        ({"request_id": "2"}, {"request_id": "1"}, True),
        ({"at": "2026-11-20T10:00:00Z"}, {"at": "2026-11-20T10:00:00+00:00"}, True),
        ({"prompt": "x"}, {}, False),
    ],
)
def test_a_request_is_repeated_when_it_gives_what_is_stored(
    given: dict[str, Any], stored: dict[str, Any], repeats: bool
) -> None:
    assert Submission({}, given).repeats(stored) is repeats

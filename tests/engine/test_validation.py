"""Each field that cannot be used is named with the rule it broke and what to give instead; no value is repeated."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator

from listener.contract import Context, Session
from listener.engine.validation import FIELDS_MAX, validated
from listener.errors import ContentRejected, InvalidParams, Unusable
from tests.engine.engine_support import a_session


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]


class ManyParams(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompt: str
    count: Annotated[int, Field(ge=1, le=10)] = 1
    share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.5
    mode: Literal["fast", "fine"] = "fast"
    user: UUID | None = None
    url: HttpUrl | None = None
    names: Annotated[list[str], Field(max_length=2)] = []
    pair: Annotated[tuple[str, ...], Field(min_length=2)] = ("a", "b")
    labels: dict[str, int] = {}
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    good: bool = True

    @field_validator("prompt")
    @classmethod
    def _check(cls, value: str) -> str:
        if value == "bad":
            raise Unusable("is bad", "say something good")
        if value == "odd":
            raise ValueError("is odd")
        if value == "rude":
            raise ContentRejected(details={"field": "prompt"})
        return value


class ManyHandler:
    kind: ClassVar[str] = "many"
    Params = ManyParams

    async def run(self, session: Session, params: ManyParams, context: Context) -> None: ...


def refused(**params: Any) -> InvalidParams:
    with pytest.raises(InvalidParams) as caught:
        validated(ManyHandler(), a_session(params=params))
    return caught.value


@pytest.mark.parametrize(
    ("given", "field", "rule", "remedy"),
    [
        ({}, "prompt", "missing", "give a value"),
        ({"prompt": None}, "prompt", "string_type", "give a text"),
        ({"prompt": ["CANARY"]}, "prompt", "string_type", "give a text"),
        ({"prompt": "bad"}, "prompt", "value_error", "say something good"),
        ({"prompt": "odd"}, "prompt", "value_error", InvalidParams.remedy),
        ({"count": "CANARY"}, "count", "int_parsing", "give a whole number"),
        ({"count": 1.5}, "count", "int_from_float", "give a whole number"),
        ({"count": "9" * 5000}, "count", "int_parsing_size", "give a smaller number"),
        ({"count": 0}, "count", "greater_than_equal", "give at least 1"),
        ({"count": 11}, "count", "less_than_equal", "give at most 10"),
        ({"share": 0}, "share", "greater_than", "give more than 0"),
        ({"share": 1}, "share", "less_than", "give less than 1"),
        ({"share": "NaN"}, "share", "finite_number", "give a finite number"),
        ({"mode": "CANARY"}, "mode", "literal_error", "give 'fast' or 'fine'"),
        ({"user": "../../CANARY"}, "user", "uuid_parsing", "give a UUID"),
        ({"url": "CANARY"}, "url", "url_parsing", "give a URL with https:// and a host"),
        ({"url": "file:///etc/CANARY"}, "url", "url_scheme", "give a URL that begins with 'http' or 'https'"),
        ({"names": ["a", "CANARY", "c"]}, "names", "too_long", "give at most 2"),
        ({"names": "CANARY"}, "names", "list_type", "give a list"),
        ({"pair": "CANARY"}, "pair", "tuple_type", "give a list"),
        ({"pair": ["CANARY"]}, "pair", "too_short", "give at least 2"),
        ({"names": ["a", 5]}, "names.1", "string_type", "give a text"),
        ({"labels": {"CANARY key": "x"}}, "labels.?", "int_parsing", "give a whole number"),
        ({"pet": {"kind": "CANARY"}}, "pet", "union_tag_invalid", InvalidParams.remedy),
        ({"pet": {"kind": "cat"}}, "pet.cat.lives", "missing", "give a value"),
        ({"good": "CANARY"}, "good", "bool_parsing", "give true or false"),
        ({"CANARY words": 1}, "?", "extra_forbidden", "leave this field out"),
    ],
)
def test_a_field_is_named_with_its_rule_and_remedy(given: dict[str, Any], field: str, rule: str, remedy: str) -> None:
    params = {"prompt": "good", **given} if given and "prompt" not in given else given
    error = refused(**params)
    (problem,) = error.details["fields"]
    assert (problem["field"], problem["rule"], problem["remedy"]) == (field, rule, remedy)
    assert problem["message"]
    assert "uple" not in problem["message"], "Python's types are not the caller's"
    assert (error.details["field"], error.details["remedy"]) == (field, remedy)
    assert "CANARY" not in f"{error} {error.details}"
    assert error.__cause__ is None, "the traceback would repeat the value"


def test_many_mistakes_are_all_named_up_to_a_bound() -> None:
    error = refused(count=0, share=2, mode="x")
    assert [problem["field"] for problem in error.details["fields"]] == ["prompt", "count", "share", "mode"]
    error = refused(prompt="x", labels={f"k{n}": "x" for n in range(500)})
    assert len(error.details["fields"]) == FIELDS_MAX


def test_a_verdict_of_a_validator_passes_through() -> None:
    with pytest.raises(ContentRejected):
        validated(ManyHandler(), a_session(params={"prompt": "rude"}))


def test_good_params_come_back_as_the_handlers_own() -> None:
    params = validated(ManyHandler(), a_session(params={"prompt": "good", "count": "3"}))
    assert isinstance(params, ManyParams)
    assert params.count == 3

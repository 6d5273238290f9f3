"""From a request's JSON to rows: which fields are taken, under which id, and whether two requests are the same one.

Knows no database and no HTTP; does not know what the fields mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

from pydantic import BaseModel, ValidationError

from listener.api import Caller, OwnedTable
from listener.engine.validation import FIELD, problems_of
from listener.http.refusal import Refused

NAMESPACE = UUID("5f3c2c53-3b5f-4b35-9d0e-0c8f6c1c7f11")
ID_FIELDS = ("session_id", "task_id")
"""What a caller names its session by, the first one first; the same name again is the same session."""
ACCEPTED_UNUSED = frozenset({"session_id", "created_at", "user_id"})
"""Fields of the users' queue message that a store's row has no column for."""
NOT_COMPARED = frozenset({"request_id"})
"""A repeated request is a new request, and may say so."""
KEY = re.compile(r"[\x20-\x7e]{1,255}")
CHANNELS = {"store_id": "b2b", "user_id": "b2c"}
"""Which channel a table of such owners is; the tables' own defaults say the same."""
FOREIGN_NAMES = {"version": "payload_version"}
"""Their name of a field -> ours, where the row's own state has that name."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A row to insert, and what of it the caller gave."""

    row: Mapping[str, Any]
    given: Mapping[str, Any]

    def repeats(self, stored: Mapping[str, Any]) -> bool:
        """Whether the stored row came from the same request."""
        compared = (item for item in self.given.items() if item[0] not in NOT_COMPARED)
        return all(_same(value, stored.get(name)) for name, value in compared)


def session_id(caller: Caller, name: str) -> UUID:
    """The id of the session that a caller calls so: nobody else can come to the same one."""
    return uuid5(NAMESPACE, f"{caller.owner}:{name}")


def submission(
    payload: object, table: OwnedTable, caller: Caller, key: str | None, params: type[BaseModel] | None
) -> Submission:
    """Check one session's fields and give it its id. Raises: Refused (403, 422)."""
    if not isinstance(payload, dict):
        raise invalid_params([problem("body", "dict_type", "is not an object", "give an object")])
    fields = {_ours(name, table): value for name, value in payload.items()}
    owner = fields.pop(table.owner_column, None)
    if owner is not None and str(owner).lower() != str(caller.owner):
        raise Refused(
            403, "OWNER_MISMATCH", f"The API key belongs to another {table.owner_column.removesuffix('_id')}."
        )
    name = _name(fields, key)
    given = {name: value for name, value in fields.items() if name not in ACCEPTED_UNUSED or name in _writable(table)}
    if unknown := sorted(set(given) - _writable(table)):
        raise invalid_params(
            [problem(name, "extra_forbidden", "is not a field", "leave this field out") for name in unknown]
        )
    if unstorable := sorted(name for name, value in given.items() if _holds_nul(value)):
        text, remedy = "holds the character U+0000, which no text of a database can", "leave this character out"
        raise invalid_params([problem(name, "string_unstorable", text, remedy) for name in unstorable])
    row_id = session_id(caller, name) if name is not None else uuid4()
    row = {**given, table.id_column: str(row_id), table.owner_column: str(caller.owner)}
    if params is not None:
        _validate(params, {"channel": CHANNELS.get(table.owner_column), **row})
    return Submission(row, given)


def idempotency_key(header: str | None, index: int | None) -> str | None:
    """The name that the header gives to a session; in an array each has its own. Raises: Refused."""
    if header is None:
        return None
    if not KEY.fullmatch(header):
        raise Refused(400, "IDEMPOTENCY_KEY_INVALID", "Idempotency-Key is 1 to 255 printable ASCII characters.")
    return f"key:{header}" if index is None else f"key:{header}:{index}"


def _name(fields: Mapping[str, Any], key: str | None) -> str | None:
    if key is not None:
        return key
    for field in ID_FIELDS:
        if (value := fields.get(field)) is not None:
            if not isinstance(value, str) or not KEY.fullmatch(value):
                text = "is not 1 to 255 printable ASCII characters"
                raise invalid_params(
                    [problem(field, "string_pattern_mismatch", text, "give a text of the documented form")]
                )
            return named(field, value)
    return None


def named(field: str, value: str) -> str:
    """The name of the session that has this value in an id field."""
    return f"{field}:{value}"


def _ours(name: str, table: OwnedTable) -> str:
    ours = FOREIGN_NAMES.get(name, name)
    return ours if ours in table.inputs else name


def _writable(table: OwnedTable) -> frozenset[str]:
    return table.inputs - {table.id_column, table.owner_column, "created_at"}


def _validate(params: type[BaseModel], row: Mapping[str, Any]) -> None:
    try:
        params.model_validate(dict(row))
    except ValidationError as error:
        raise invalid_params(problems_of(error)) from None


def invalid_params(problems: list[dict[str, str]]) -> Refused:
    """The refusal that names fields, rules and remedies."""
    return Refused(422, "INVALID_PARAMS", "The request has a field that cannot be used.", None, fields=problems)


def problem(field: str, rule: str, message: str, remedy: str) -> dict[str, str]:
    """What is wrong with one field; a name that cannot be one is not repeated."""
    shown = field if FIELD.fullmatch(field) else "?"
    return {"field": shown, "rule": rule, "message": message, "remedy": remedy}


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(one) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(_holds_nul(one) for one in value)


def _same(given: object, stored: object) -> bool:
    if given == stored:
        return True
    return isinstance(given, str) and isinstance(stored, str) and _moment(given) == _moment(stored) is not None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None

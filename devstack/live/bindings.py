"""What a client asks for when it joins: the bindings as they came, their wire ids, and their meaning.

Knows the payload of `phx_join`; not whether tables or columns exist.
Source: supabase/realtime lib/extensions/postgres_cdc_rls/subscriptions.ex; the texts are recorded.
"""

from __future__ import annotations

import json
import uuid
import zlib
from dataclasses import dataclass
from typing import Any

from devstack.live.filters import Filter, FilterError, parse_filters, quote

ACTIONS = ("INSERT", "UPDATE", "DELETE")
LARGEST_ID = 2**27 - 1  # the real server hashes into 27 bits
LEGACY_PARTS = 3  # realtime:schema:table:filter


class BindingError(ValueError):
    """A binding that cannot be subscribed to; the text goes to the client."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What to watch: `action` and `table` may be `*`; `select` None means all columns."""

    id: int
    action: str
    schema: str
    table: str
    filters: tuple[Filter, ...]
    select: tuple[str, ...] | None

    def __str__(self) -> str:
        """Write it as the real server's error texts do."""
        filters = ", ".join(str(each) for each in self.filters)
        select = "nil" if self.select is None else f"[{', '.join(quote(column) for column in self.select)}]"
        watched = f"event: {self.action}, schema: {self.schema}, table: {self.table}"
        return f"[{watched}, filters: [{filters}], select: {select}]"


@dataclass(frozen=True, slots=True)
class Join:
    """The configuration of a channel as its client asked for it."""

    bindings: tuple[dict[str, Any], ...]
    is_legacy: bool
    is_private: bool
    wants_ack: bool
    wants_own: bool
    wants_presence: bool
    presence_key: str
    wants_ready: bool
    asks_replay: bool
    replay: object
    access_token: object

    def echo(self) -> list[dict[str, Any]]:
        """The bindings as the reply shows them: clients compare them with what they asked for, one by one."""
        return [{"id": wire_id(binding), **dict(sorted(binding.items()))} for binding in self.bindings]


def read_join(topic: str, payload: object) -> Join:
    """Read a join's payload; what has the wrong type counts as absent, as with the real server."""
    payload = _object(payload)
    is_legacy = not isinstance(payload.get("config"), dict)
    config = _object(payload.get("config"))
    broadcast, presence = _object(config.get("broadcast")), _object(config.get("presence"))
    asked = config.get("postgres_changes")
    bindings = tuple(each for each in asked if isinstance(each, dict)) if isinstance(asked, list) else ()
    return Join(
        bindings=_legacy_bindings(topic) if is_legacy else bindings,
        is_legacy=is_legacy,
        is_private=config.get("private") is True,
        wants_ack=broadcast.get("ack") is True,
        wants_own=broadcast.get("self") is True,
        wants_presence=presence.get("enabled") is True,
        presence_key=_key(presence.get("key")),
        wants_ready=broadcast.get("replication_ready") is True,
        asks_replay="replay" in broadcast,
        replay=broadcast.get("replay"),
        access_token=payload.get("access_token") or (payload.get("user_token") if is_legacy else None),
    )


def wire_id(binding: dict[str, Any]) -> int:
    """A number that is the same for equal bindings on every channel and connection, and never 0."""
    canonical = json.dumps(binding, sort_keys=True, separators=(",", ":"))
    return zlib.crc32(canonical.encode()) & LARGEST_ID or 1


def read_binding(params: dict[str, Any]) -> Binding:
    """Say what a binding means.

    Raises: BindingError.
    """
    select = _select(params.get("select"))
    given = {key: params[key] for key in ("schema", "table", "filter") if key in params}
    enough = {"schema", "table"} <= given.keys() if "filter" in given else bool(given)
    complete = enough and all(isinstance(value, str) for value in given.values())
    if not complete:
        raise BindingError(
            "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: "
            f"{_inspect(params)}"
        )
    schema, table = given.get("schema", "public"), given.get("table", "*")
    try:
        conditions = parse_filters(given.get("filter", ""))
    except FilterError as error:
        raise BindingError(f"Error parsing `filter` params: {error}") from error
    if select is not None and "*" in (schema, table):
        raise BindingError(
            "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name."
        )
    return Binding(wire_id(params), _action(params.get("event")), schema, table, conditions, select)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _key(value: object) -> str:
    """The key under which a member is present: its own, or one that nobody else has."""
    return value if isinstance(value, str) and value else str(uuid.uuid1())


def _action(event: object) -> str:
    action = event.upper() if isinstance(event, str) else "*"
    return action if action in ACTIONS else "*"


def _select(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        raise BindingError(
            'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]'
        )
    columns = tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
    return columns or None


def _legacy_bindings(topic: str) -> tuple[dict[str, Any], ...]:
    parts = topic.removeprefix("realtime:").split(":", LEGACY_PARTS - 1)
    return (dict(zip(("schema", "table", "filter"), parts, strict=False)),)


def _inspect(value: object) -> str:
    """A value as Elixir prints it."""
    if isinstance(value, dict):
        return f"%{{{', '.join(f'{_inspect(key)} => {_inspect(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{', '.join(_inspect(each) for each in value)}]"
    if isinstance(value, str):
        return quote(value)
    return "nil" if value is None else str(value).lower()

"""The `data` of a postgres_changes frame as JSON text, for one set of columns; knows nothing of who gets it.

Source: realtime.apply_rls; the order of the keys and the error forms are recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from devstack.changes.pgoutput import Change
from devstack.live.frames import compact
from devstack.live.tables import Column, Table
from devstack.live.typed import TypedRow

LARGEST_RECORD_BYTES = 1024 * 1024
LARGEST_KEPT_VALUE_BYTES = 64  # of a record that is too large
# What wal2json writes around a column's name, type and value; only the limit above depends on it.
COLUMN_OVERHEAD_BYTES = 56

TOO_LARGE = "Error 413: Payload Too Large"
NO_KEY = "Error 400: Bad Request, no primary key"
UNAUTHORIZED = "Error 401: Unauthorized"


@dataclass(frozen=True, slots=True)
class Known:
    """A change with its rows typed; `new` or `old` is empty where the kind has none."""

    change: Change
    table: Table
    new: TypedRow
    old: TypedRow

    @property
    def is_too_large(self) -> bool:
        """True when the real server would cut the record down."""
        rows = (self.new.values, self.old.values)
        size = sum(len(name) + len(value) + COLUMN_OVERHEAD_BYTES for row in rows for name, value in row.items())
        return size > LARGEST_RECORD_BYTES


def change_data(known: Known, columns: tuple[Column, ...]) -> str:
    """A change as a subscriber who may read `columns` gets it."""
    change, table = known.change, known.table
    names = {column.name for column in columns}
    parts = _head(change)
    if change.kind != "DELETE":
        # A value that the update did not touch is taken from the old row, which has it under REPLICA IDENTITY FULL.
        parts["record"] = _record(known, {**known.old.values, **known.new.values}, names)
    parts["columns"] = "[" + ", ".join(_column(column) for column in columns) + "]"
    parts["errors"] = compact([TOO_LARGE]) if known.is_too_large else "null"
    parts["schema"] = compact(change.relation.schema)
    parts["commit_timestamp"] = compact(_milliseconds(change))
    if change.kind == "UPDATE":
        parts["old_record"] = _record(known, known.old.values, names)
    if change.kind == "DELETE":
        # Nobody can ask a policy about a row that is gone, so only the key is shown.
        keys = {column.name for column in table.key}
        parts["old_record"] = _record(known, known.old.values, names & keys if table.has_row_security else names)
    return _object(parts.items())


def error_data(change: Change, error: str) -> str:
    """A change that is only told of, without its row."""
    parts = _head(change)
    parts |= {"record": "{}", "columns": "[]", "errors": compact([error])}
    parts |= {"schema": compact(change.relation.schema), "commit_timestamp": "null"}
    if change.kind == "UPDATE":
        parts["old_record"] = "{}"
    return _object(parts.items())


def _head(change: Change) -> dict[str, str]:
    return {"table": compact(change.relation.name), "type": compact(change.kind)}


def _record(known: Known, values: dict[str, str], names: set[str]) -> str:
    shown = {name: value for name, value in values.items() if name in names}
    if known.is_too_large:
        shown = {name: value for name, value in shown.items() if _is_kept(value)}
    # jsonb's own order: by length, then by bytes.
    ordered = sorted(shown.items(), key=lambda item: (len(item[0].encode()), item[0].encode()))
    return "{" + ", ".join(f"{compact(name)}: {value}" for name, value in ordered) + "}"


def _is_kept(value: str) -> bool:
    return value != "null" and len(value.encode()) <= LARGEST_KEPT_VALUE_BYTES


def _column(column: Column) -> str:
    return f'{{"name": {compact(column.name)}, "type": {compact(column.type_name)}}}'


def _milliseconds(change: Change) -> str:
    at = change.committed_at
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _object(parts: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in parts) + "}"

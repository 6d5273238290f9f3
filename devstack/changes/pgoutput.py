"""Decodes pgoutput messages, protocol version 1, into row changes.

Knows bytes only: no SQL, no types (values stay PostgreSQL's text), no subscribers.
Source: PostgreSQL manual, "Logical Replication Message Formats".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Kind = Literal["INSERT", "UPDATE", "DELETE"]

# Column name -> text of the value. A column whose out-of-line value the update did not touch is absent.
Row = dict[str, str | None]

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Relation:
    """A published table as the log describes it; `identity` names the columns of its replica identity."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]
    identity: frozenset[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One committed row change; `committed_at` is UTC and the same for all of a transaction."""

    kind: Kind
    relation: Relation
    new: Row
    old: Row
    committed_at: datetime


class Decoder:
    """Turns the messages of one slot, in their order, into changes."""

    def __init__(self) -> None:
        self._relations: dict[int, Relation] = {}
        self._committed_at = EPOCH

    def feed(self, message: bytes) -> Change | None:
        """Take the next message; most carry no change.

        Raises: KeyError when a change comes before its relation, struct.error when the message is cut.
        """
        reader = _Reader(message)
        match reader.tag():
            case "B":
                self._begin(reader)
            case "R":
                relation = _relation(reader)
                self._relations[relation.oid] = relation
            case "I" | "U" | "D" as tag:
                return self._change(tag, reader)
        return None  # commit, origin, type, truncate and logical messages: Realtime sends nothing for them

    def _begin(self, reader: _Reader) -> None:
        reader.int64()  # where the commit lies in the log
        self._committed_at = EPOCH + timedelta(microseconds=reader.int64())

    def _change(self, tag: str, reader: _Reader) -> Change:
        relation = self._relations[reader.uint32()]
        new: Row = {}
        old: Row = {}
        part = reader.tag()
        if part in {"K", "O"}:
            old = reader.row(relation, only=relation.identity if part == "K" else None)
            part = reader.tag() if tag == "U" else ""
        if part == "N":
            new = reader.row(relation)
        if tag == "U" and not old:
            # The log repeats the identity only when it changed; Realtime always shows it.
            old = {name: new[name] for name in relation.columns if name in relation.identity and name in new}
        kind: Kind = "INSERT" if tag == "I" else "UPDATE" if tag == "U" else "DELETE"
        return Change(kind, relation, new, old, self._committed_at)


class _Reader:
    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 0

    def _unpack(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._message, self._at)
        self._at += struct.calcsize(form)
        return int(value)

    def tag(self) -> str:
        return chr(self._unpack("!B"))

    def int16(self) -> int:
        return self._unpack("!h")

    def int32(self) -> int:
        return self._unpack("!i")

    def uint32(self) -> int:
        return self._unpack("!I")

    def int64(self) -> int:
        return self._unpack("!q")

    def text(self) -> str:
        end = self._message.index(b"\0", self._at)
        value = self._message[self._at : end].decode()
        self._at = end + 1
        return value

    def row(self, relation: Relation, only: frozenset[str] | None = None) -> Row:
        row: Row = {}
        for _, name in zip(range(self.int16()), relation.columns, strict=True):
            form = self.tag()
            value: str | None = None
            if form == "t":
                size = self.int32()
                value = self._message[self._at : self._at + size].decode()
                self._at += size
            if form != "u" and (only is None or name in only):
                row[name] = value
        return row


def _relation(reader: _Reader) -> Relation:
    oid, schema, name = reader.uint32(), reader.text(), reader.text()
    reader.tag()  # the kind of replica identity; the flag of each column says what is needed
    columns: list[str] = []
    identity: list[str] = []
    for _ in range(reader.int16()):
        is_key = reader.tag() == "\x01"
        columns.append(reader.text())
        reader.uint32(), reader.int32()  # type and modifier: the catalogue is asked instead
        if is_key:
            identity.append(columns[-1])
    # An empty schema stands for pg_catalog.
    return Relation(oid, schema or "pg_catalog", name, tuple(columns), frozenset(identity))

"""Reads frames of either version, recorded or received, and makes two of them comparable.

Order counts, in lists and in objects. A binding's id is any number, as long as equal ones stay equal.
"""

from __future__ import annotations

import ast
import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.recording import Line

CUT = re.compile(r"\.\.\.<\d+ chars>$")
AGO = re.compile(r"\d+ seconds ago")
AT_CLIENT = "pyclient"
COMMITTED = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame: `shape` is join_ref, ref, topic, event, payload; a recorded one may be cut."""

    shape: tuple[Any, ...]
    raw: str
    is_cut: bool = False

    @property
    def topic(self) -> str:
        """Whom it is for."""
        return str(self.shape[2])

    @property
    def event(self) -> str:
        """What it tells."""
        return str(self.shape[3])

    @property
    def payload(self) -> Any:
        """The rest."""
        return self.shape[4]

    @property
    def change(self) -> dict[str, Any] | None:
        """The row change that it tells of; a legacy channel's lies flat in the payload."""
        if self.event == "postgres_changes":
            return dict(self.payload["data"]) if not self.is_cut else None
        return dict(self.payload) if self.event in {"INSERT", "UPDATE", "DELETE"} else None


def recorded(line: Line) -> Seen:
    """A recorded frame of the server; supabase-py's log has it in Python's quotes."""
    if line.binary_b64:
        return _binary(base64.b64decode(line.binary_b64))
    raw = ast.literal_eval(line.frame) if line.conn == AT_CLIENT else line.frame
    if CUT.search(raw):
        raw = CUT.sub("", raw)
        topic = "?"
        return Seen((None, None, topic, "postgres_changes", None), raw, is_cut=True)
    return received(raw)


def received(data: str | bytes) -> Seen:
    """A frame as it came."""
    if isinstance(data, bytes):
        return _binary(data)
    frame = json.loads(data, parse_float=str)
    if isinstance(frame, dict):
        keys = list(frame)
        if keys != ["ref", "event", "payload", "topic"]:
            raise AssertionError(f"keys of the frame: {keys}")
        return Seen((None, frame["ref"], frame["topic"], frame["event"], frame["payload"]), data)
    return Seen(tuple(frame), data)


def _binary(data: bytes) -> Seen:
    """A broadcast of version 2: kind, three sizes, encoding, then the fields and the payload."""
    sizes, at, fields = data[1:4], 5, []
    for size in sizes:
        fields.append(data[at : at + size].decode())
        at += size
    topic, event, meta = fields
    payload = {
        "event": event,
        "meta": json.loads(meta or "{}"),
        "payload": data[at:].decode(),
        "kind": list(data[:5:4]),
    }
    return Seen((None, None, topic, "binary broadcast", payload), "")


@dataclass
class Comparison:
    """Compares frames of one conversation; knows which recorded id is which of ours."""

    ours: dict[int, int] = field(default_factory=dict)

    def difference(self, expected: Seen, got: Seen) -> str:
        """What differs; nothing when they are alike."""
        if expected.is_cut:
            size = expected.raw.index('"big": "')
            same = expected.raw[:size] == got.raw[:size]
            return "" if same else f"expected {expected.raw[:size]}, got {got.raw[:size]}"
        one, other = _plain(expected.shape), _plain(got.shape)
        if one != other:
            return f"expected {one}\n     got {other}"
        pairs: list[tuple[object, object]] = list(zip(_ids(expected.payload), _ids(got.payload), strict=True))
        wrong = [(theirs, mine) for theirs, mine in pairs if self.ours.setdefault(theirs, mine) != mine]
        if len(set(self.ours.values())) != len(self.ours):
            wrong.append(("two bindings", "one id"))
        return f"ids: {wrong}" if wrong else ""


def _plain(value: Any) -> str:
    return json.dumps(_masked(value), ensure_ascii=False)


def _masked(value: Any, name: str = "") -> Any:
    """What no two runs share is replaced; the rows are the recorded ones, so their values stay."""
    if name == "ids" or (name == "id" and isinstance(value, int)):
        return ["<id>"] * len(value) if isinstance(value, list) else "<id>"
    if name in {"phx_ref", "record", "old_record"}:
        return "<phx_ref>" if name == "phx_ref" else value
    match value:
        case dict():
            known = {"id": "<uuid>"} if name == "meta" else {}
            return {key: known.get(key) or _masked(part, key) for key, part in value.items()}
        case list() | tuple():
            return [_masked(part) for part in value]
        case str():
            return AGO.sub("N seconds ago", COMMITTED.sub("<time>", value) if name == "commit_timestamp" else value)
        case _:
            return value


def _ids(payload: Any) -> list[int]:
    """The ids of bindings, in the order in which the frame names them."""
    if not isinstance(payload, dict):
        return []
    found = list(payload.get("ids", []))
    response = payload.get("response")
    if isinstance(response, dict):
        found += [each["id"] for each in response.get("postgres_changes", [])]
    return found

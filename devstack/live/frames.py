"""What goes over a Realtime socket, whichever version carries it; knows neither version's bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from devstack.received import read_json


@dataclass(frozen=True, slots=True)
class Push:
    """A frame from the client."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Any


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to the client; `payload` is JSON text, because PostgreSQL's numbers must reach the client as they are."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: str


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A message to all of a room; `body` is JSON text or, when not `is_json`, plain bytes.

    `meta` is JSON text, which only messages from the database have.
    """

    event: str
    body: bytes
    is_json: bool
    meta: str = ""

    def payload(self) -> str:
        """The whole message as JSON text; only what is JSON has such a form."""
        meta = f'"meta":{self.meta},' if self.meta else ""
        return f'{{"event":{compact(self.event)},{meta}"payload":{self.body.decode()},"type":"broadcast"}}'


class Serializer(Protocol):
    """One version of the framing."""

    def decode(self, data: str | bytes) -> Push | None:
        """Read a client's frame; None when it is not of this version, which the real server ignores too."""

    def encode(self, frame: Frame) -> str | bytes:
        """Write a frame."""

    def encode_broadcast(self, topic: str, broadcast: Broadcast) -> str | bytes | None:
        """Write a broadcast; None when this version cannot carry it."""


def read_broadcast(payload: object) -> Broadcast | None:
    """A client's message; None when it has no event."""
    if isinstance(payload, Broadcast):
        return payload
    if not isinstance(payload, dict) or not isinstance(payload.get("event"), str):
        return None
    return Broadcast(payload["event"], compact(payload.get("payload", {})).encode(), is_json=True)


def compact(value: object) -> str:
    """JSON text without spaces, in ASCII."""
    return json.dumps(value, separators=(",", ":"))


def parsed(data: str | bytes) -> object:
    """The value of JSON text; None for null and for what is no JSON."""
    try:
        return read_json(data)
    except ValueError:
        return None


def reply(push: Push, status: str, response: object) -> Frame:
    """The answer to a push."""
    payload = compact({"status": status, "response": response})
    return Frame(push.join_ref, push.ref, push.topic, "phx_reply", payload)


def text_or_none(value: object) -> str | None:
    """A reference as clients send it: text, or nothing."""
    return None if value is None else str(value)

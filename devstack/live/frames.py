"""What goes over a Realtime socket, whichever version carries it; knows neither version's bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol


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
    """A client's message to the others of a topic; `body` is JSON text or, when not `is_json`, plain bytes."""

    event: str
    body: bytes
    is_json: bool


class Serializer(Protocol):
    """One version of the framing."""

    def decode(self, data: str | bytes) -> Push | None:
        """Read a client's frame; None when it is not of this version, which the real server ignores too."""

    def encode(self, frame: Frame) -> str | bytes:
        """Write a frame."""

    def encode_broadcast(self, topic: str, broadcast: Broadcast) -> str | bytes | None:
        """Write a broadcast; None when this version cannot carry it."""


def compact(value: object) -> str:
    """JSON text without spaces, in ASCII: half a surrogate pair from a client must not break the answer."""
    return json.dumps(value, separators=(",", ":"))


def parsed(data: str | bytes) -> object:
    """The value of JSON text; None for null and for what is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def reply(push: Push, status: str, response: object) -> Frame:
    """The answer to a push."""
    payload = compact({"status": status, "response": response})
    return Frame(push.join_ref, push.ref, push.topic, "phx_reply", payload)


def text_or_none(value: object) -> str | None:
    """A reference as clients send it: text, or nothing."""
    return None if value is None else str(value)

"""Framing of `vsn=2.0.0`: JSON arrays, and binary frames for broadcasts; what supabase-js speaks.

Source: supabase/realtime lib/realtime_web/socket/v2_serializer.ex and @supabase/realtime-js src/lib/serializer.ts.
"""

from __future__ import annotations

from devstack.live.frames import Broadcast, Frame, Push, compact, parsed, text_or_none

CLIENT_BROADCAST = 3
SERVER_BROADCAST = 4
FIELDS = 5  # of a text frame: join_ref, ref, topic, event, payload
HEADER_BYTES = 7  # kind, five sizes, encoding
LARGEST_FIELD_BYTES = 255


class SerializerV2:
    """One JSON array a frame; the lengths of a binary frame's fields stand before the fields."""

    def decode(self, data: str | bytes) -> Push | None:
        """Read an array of five, or a client's broadcast in binary."""
        if isinstance(data, bytes):
            return _decode_binary(data)
        frame = parsed(data)
        if not isinstance(frame, list) or len(frame) < FIELDS:
            return None
        join_ref, ref, topic, event, payload = frame[:FIELDS]
        if not isinstance(topic, str) or not isinstance(event, str):
            return None
        return Push(text_or_none(join_ref), text_or_none(ref), topic, event, payload)

    def encode(self, frame: Frame) -> str:
        """Write an array."""
        head = compact([frame.join_ref, frame.ref, frame.topic, frame.event])
        return f"{head[:-1]},{frame.payload}]"

    def encode_broadcast(self, topic: str, broadcast: Broadcast) -> bytes | None:
        """Write a binary frame of kind 4; None when a field is too long for its size to be written."""
        fields = [topic.encode(), broadcast.event.encode(), broadcast.meta.encode()]
        if any(len(field) > LARGEST_FIELD_BYTES for field in fields):
            return None
        sizes = bytes(len(field) for field in fields)
        return bytes([SERVER_BROADCAST]) + sizes + bytes([broadcast.is_json]) + b"".join(fields) + broadcast.body


def _decode_binary(data: bytes) -> Push | None:
    if len(data) < HEADER_BYTES or data[0] != CLIENT_BROADCAST:
        return None
    sizes, is_json = data[1:6], bool(data[6])
    fields: list[str] = []
    at = HEADER_BYTES
    try:
        for size in sizes:
            fields.append(data[at : at + size].decode())
            at += size
    except UnicodeDecodeError:
        return None
    join_ref, ref, topic, event, _metadata = fields
    if is_json and parsed(data[at:]) is None and data[at:].strip() != b"null":
        return None  # others would get it as part of a frame
    return Push(join_ref or None, ref or None, topic, "broadcast", Broadcast(event, data[at:], is_json))

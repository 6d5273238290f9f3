"""Framing of `vsn=1.0.0`: JSON objects, everything as text; what supabase-py speaks."""

from __future__ import annotations

from devstack.live.frames import Broadcast, Frame, Push, compact, parsed, text_or_none


class SerializerV1:
    """One JSON object a frame; the server's frames name no join_ref."""

    def decode(self, data: str | bytes) -> Push | None:
        """Read an object that has at least a topic and an event."""
        frame = parsed(data)
        if not isinstance(frame, dict):
            return None
        topic, event = frame.get("topic"), frame.get("event")
        if not isinstance(topic, str) or not isinstance(event, str):
            return None
        join_ref, ref = text_or_none(frame.get("join_ref")), text_or_none(frame.get("ref"))
        return Push(join_ref, ref, topic, event, frame.get("payload"))

    def encode(self, frame: Frame) -> str:
        """Write the keys in the real server's order."""
        ref, event, topic = compact(frame.ref), compact(frame.event), compact(frame.topic)
        return f'{{"ref":{ref},"event":{event},"payload":{frame.payload},"topic":{topic}}}'

    def encode_broadcast(self, topic: str, broadcast: Broadcast) -> str | None:
        """Write a text frame; plain bytes have no form here."""
        if not broadcast.is_json:
            return None
        return self.encode(Frame(None, None, topic, "broadcast", broadcast.payload()))

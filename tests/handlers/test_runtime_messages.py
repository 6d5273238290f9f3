"""The six messages survive the journey, and nothing else does."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.runtime.messages import (
    HEADER_LENGTH,
    Beat,
    Cancel,
    Done,
    Failed,
    Generate,
    Load,
    Message,
    ProtocolError,
    encode,
    read_message,
)

number = st.integers(0, 2**62)
words = st.text(max_size=50)
sent = st.one_of(
    st.builds(Cancel, run=number),
    st.builds(Beat, run=number, done=number, total=number, note=words),
    st.builds(Failed, run=number, code=words, message=words, details=st.dictionaries(words, number), trace=words),
    st.builds(Done, run=number, facts=st.just({}), blobs=st.lists(st.binary(max_size=99), max_size=3).map(tuple)),
    st.builds(
        Generate,
        run=number,
        kind=words,
        prompt=words,
        negative_prompt=st.none() | words,
        seeds=st.lists(number, max_size=3).map(tuple),
        width=number,
        height=number,
        steps=st.none() | number,
        guidance_scale=st.none() | st.floats(0, 20),
        blobs=st.lists(st.binary(max_size=99), max_size=3).map(tuple),
    ),
)


def frame(header: object, blob: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    return HEADER_LENGTH.pack(len(encoded)) + encoded + blob


@settings(deadline=None, max_examples=50)
@given(st.lists(sent, min_size=1, max_size=4))
def test_what_is_sent_is_what_is_read(messages: list[Message]) -> None:
    wire = io.BytesIO(b"".join(chunk for message in messages for chunk in encode(message)))
    assert [read_message(wire.read) for _ in messages] == messages


def test_a_load_order_survives_too() -> None:
    order = Load(1, "headshot", "embedded", None, "bfloat16", "cuda", None, 7.5, "/cache")
    assert read_message(io.BytesIO(b"".join(encode(order))).read) == order


@pytest.mark.parametrize(
    "wire",
    [
        HEADER_LENGTH.pack(0),
        HEADER_LENGTH.pack(2**32 - 1),
        HEADER_LENGTH.pack(4) + b"{no}",
        frame([]),
        frame({"type": "Beat"}),
        frame({"type": "object", "body": {}}),
        frame({"type": "Beat", "body": {"run": 1, "other": 2}}),
        frame({"type": "Done", "body": {"run": 1, "facts": {}}, "blobs": [-1]}),
        frame({"type": "Done", "body": {"run": 1, "facts": {}}, "blobs": [2**40]}),
        frame({"type": "Done", "body": {"run": 1, "facts": {}}, "blobs": "all"}),
    ],
)
def test_anything_else_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_message(io.BytesIO(wire).read)


@pytest.mark.parametrize("message", [Beat(1, 0, 0, "x" * (5 << 20)), Failed(1, "x", "y" * (5 << 20), {})])
def test_a_message_that_is_too_large_is_not_sent(message: Any) -> None:
    with pytest.raises(ProtocolError, match="too large"):
        encode(message)


def test_prompts_and_pictures_do_not_show_in_a_repr() -> None:
    order = Generate(1, "headshot", "a secret", "another", (1,), 64, 64, None, None, (b"pixels",))
    assert "secret" not in repr(order)
    assert "another" not in repr(order)
    assert "pixels" not in repr(order)

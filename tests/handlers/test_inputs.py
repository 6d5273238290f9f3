"""Texts come out clean or are refused with a remedy; pictures come out as pictures."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handlers.inputs.images import encode_png
from handlers.inputs.text import PROMPT_CHARS_MAX, limit, require_prompt, sanitise


@pytest.mark.parametrize(
    ("typed", "clean"),
    [
        ("  a   calm\n\tportrait ", "a calm portrait"),
        ("a\u200bpor\u2060trait\ufeff", "aportrait"),
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("\u202egnihtemos\u202c", "gnihtemos"),
        ("ｆｕｌｌ　ｗｉｄｔｈ ﬁne", "full width fine"),
        ("👩\u200d🚀 in space", "👩\u200d🚀 in space"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("n\u200du\u200cde", "nude"),
        ("cafe\u200b\u0301", "café"),
        ("a" + "\u0335" * 50 + "b", "a" + "\u0335" * 4 + "b"),
        ("a\u3164\u2800\u115f\uffa0b", "ab"),
        ("a\U000e0068\U000e0069\ufe01\U000e0101b", "ab"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("\u2066one\u2069 \u200ftwo\u061c", "one two"),
    ],
)
def test_a_text_is_normalised_and_rid_of_what_cannot_be_seen(typed: str, clean: str) -> None:
    assert sanitise(typed) == clean


@settings(deadline=None)
@given(st.text(max_size=300))
def test_a_clean_text_stays_as_it_is_and_has_no_control_characters(typed: str) -> None:
    clean = sanitise(typed)
    assert sanitise(clean) == clean
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in clean)


@pytest.mark.parametrize("typed", ["", "  \n ", "\u200b\u200b", "\x00", "...!?", "\u200d"])
def test_an_empty_prompt_is_refused_with_a_remedy(typed: str) -> None:
    with pytest.raises(ValueError, match="describe the picture"):
        require_prompt(typed)


def test_what_stood_apart_composes_once_what_parted_it_is_gone() -> None:
    clean = sanitise("e\u200b\u0301")
    assert clean == "é"
    assert sanitise(clean) == clean


@pytest.mark.parametrize("typed", ["x" * (PROMPT_CHARS_MAX + 1), "x" * 50_000_000])
def test_a_prompt_that_is_too_long_is_refused_with_its_limit(typed: str) -> None:
    with pytest.raises(ValueError, match="shorten it to at most 2000"):
        require_prompt(typed)


def test_a_text_may_be_as_long_as_allowed() -> None:
    assert require_prompt("x" * PROMPT_CHARS_MAX) == limit(" " + "x" * PROMPT_CHARS_MAX)


async def test_a_png_holds_the_very_pixels() -> None:
    rgb = bytes(range(256)) * 9
    png = await encode_png(rgb, 48, 16)
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (48, 16), "RGB")
        assert image.tobytes() == rgb

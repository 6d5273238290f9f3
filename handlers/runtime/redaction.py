"""Keeps prompts, and what makes a URL secret, out of text that goes to a log. Knows only words."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"\w+")
_URL = re.compile(r"(https?://)(?:[^\s/@]+@)?([^\s?#\"'<>]+)(?:[?#][^\s\"'<>]*)?", re.IGNORECASE)
WORD_LENGTH_MIN = 3
MASK = "***"


def redact(text: str, prompts: Iterable[str | None]) -> str:
    """Replace each word of `text` that occurs in one of the prompts, and cut URLs down to host and path.

    Signatures and passwords travel in the rest of a URL. Libraries quote pieces of a prompt, lowercased and cut
    anywhere; so words are compared, not whole prompts.
    """
    text = _URL.sub(r"\1\2", text)
    known = [prompt.casefold() for prompt in prompts if prompt]
    if not known:
        return text

    def masked(match: re.Match[str]) -> str:
        word = match.group()
        telling = len(word) >= WORD_LENGTH_MIN or not word.isascii()
        return MASK if telling and any(word.casefold() in prompt for prompt in known) else word

    return _WORD.sub(masked, text)

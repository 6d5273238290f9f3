"""Cleans texts that users typed. Knows Unicode; does not judge content."""

from __future__ import annotations

import re
import unicodedata

PROMPT_CHARS_MAX = 2000
# Joiners carry meaning in emoji and in several scripts; the other invisible characters only hide text.
_JOINERS = {"\u200c", "\u200d"}
_SPACES = re.compile(r"\s+")


def sanitise(text: str) -> str:
    """Normalise (NFKC), drop control and invisible characters, join runs of white space, trim."""
    spaced = _SPACES.sub(" ", unicodedata.normalize("NFKC", text))
    return _SPACES.sub(" ", "".join(char for char in spaced if _is_visible(char))).strip()


def require_prompt(text: str, chars_max: int = PROMPT_CHARS_MAX) -> str:
    """Clean a prompt and insist that something is left. Raises: ValueError with the remedy."""
    if len(text) > chars_max * 4:
        raise ValueError(_too_long(len(text), chars_max))
    cleaned = limit(text, chars_max)
    if not any(char.isalnum() for char in cleaned):
        raise ValueError("is empty; describe the picture in a few words")
    return cleaned


def limit(text: str, chars_max: int = PROMPT_CHARS_MAX) -> str:
    """Clean a text and insist on its length. Raises: ValueError with the remedy."""
    cleaned = sanitise(text)
    if len(cleaned) > chars_max:
        raise ValueError(_too_long(len(cleaned), chars_max))
    return cleaned


def _is_visible(char: str) -> bool:
    # Cc control, Cf format (zero width, direction marks), Cs surrogates, Co private use, Cn unassigned.
    return char in _JOINERS or not unicodedata.category(char).startswith("C")


def _too_long(length: int, chars_max: int) -> str:
    return f"has {length} characters; shorten it to at most {chars_max}"

"""Cleans texts that users typed. Knows Unicode; does not judge content."""

from __future__ import annotations

import re
import unicodedata

from listener.errors import Unusable

PROMPT_CHARS_MAX = 2000
MARKS_MAX = 4
"""No script stacks more marks on a letter; more of them only deface a text."""
# Joiners carry meaning in emoji and in several scripts, never behind an ASCII letter.
_JOINERS = {"\u200c", "\u200d"}
# They show nothing, whatever their category says: fillers, selectors, the empty Braille cell.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]")
_SPACES = re.compile(r"\s+")


def sanitise(text: str) -> str:
    """Normalise (NFKC), drop control, direction and invisible characters, join runs of white space, trim."""
    while (cleaned := _cleaned(text)) != text:
        text = cleaned  # what stood apart may compose now
    return text


def require_prompt(text: str, chars_max: int = PROMPT_CHARS_MAX) -> str:
    """Clean a prompt and insist that something is left. Raises: Unusable."""
    cleaned = limit(text, chars_max)
    if not any(char.isalnum() for char in cleaned):
        raise Unusable("is empty", "describe the picture in a few words")
    return cleaned


def limit(text: str, chars_max: int = PROMPT_CHARS_MAX) -> str:
    """Clean a text and insist on its length. Raises: Unusable."""
    # A text that no cleaning brings down is not worth the time that cleaning takes.
    cleaned = text if len(text) > chars_max * 4 else sanitise(text)
    if len(cleaned) > chars_max:
        raise Unusable(f"has {len(cleaned)} characters", f"shorten it to at most {chars_max}")
    return cleaned


def _cleaned(text: str) -> str:
    spaced = _SPACES.sub(" ", _BLANK.sub("", unicodedata.normalize("NFKC", text)))
    kept: list[str] = []
    marks = 0
    for char in spaced:
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if marks <= MARKS_MAX and (_is_visible(category) or (char in _JOINERS and kept and not kept[-1].isascii())):
            kept.append(char)
    return _SPACES.sub(" ", "".join(kept)).strip()


def _is_visible(category: str) -> bool:
    # Cc control, Cf format (zero width, direction marks), Cs surrogates, Co private use, Cn unassigned.
    return not category.startswith("C")

"""Turns the terms of a rule into patterns over folded text.

A term is words; `*` at an edge of a word stands for the rest of it, `{1-17}` for a number of that range. Letters may be
written as the digits that look like them, repeated, or spelled out with something between each two.
Knows no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from listener.moderation.fold import fold

_DIGITS = {"a": "a4@", "b": "b8", "e": "e3", "g": "g9", "i": "i1!|", "l": "l1|", "o": "o0", "s": "s5$", "t": "t7+"}
_RANGE = re.compile(r"\{(\d{1,3})-(\d{1,3})\}")
# Chinese, Japanese, Korean and Thai do not part their words, so a letter of theirs is no part of the word beside it.
_LETTER = r"[^\W\d_\u0e00-\u0e7f\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af]"
_BEFORE, _AFTER = f"(?<!{_LETTER})", f"(?!{_LETTER})"
_BETWEEN_WORDS = r"[\W_]*"
_BETWEEN_LETTERS = r"[\W_]{1,3}"
SPELLED_LENGTH_MIN = 3


def pattern_of(terms: Iterable[str]) -> re.Pattern[str]:
    """One pattern for any of the terms. Raises: ValueError for a term without a letter or digit."""
    return re.compile("|".join(alternative for term in terms for alternative in _alternatives(term)))


def found(pattern: re.Pattern[str], folded: str) -> bool:
    """Whether a term stands in a folded text; digits alone are a number and no word."""
    return any(any(char.isalpha() for char in match.group()) for match in pattern.finditer(folded))


def without(pattern: re.Pattern[str], folded: str) -> str:
    """The text without what the pattern finds; nothing meets across the gap."""
    return pattern.sub(" . ", folded)


def _alternatives(term: str) -> list[str]:
    words = term.split()
    if not any(char.isalnum() for char in term):
        raise ValueError(f"{term!r} holds no word")
    before = "" if words[0].startswith("*") else _BEFORE
    after = f"{_LETTER}*" if words[-1].endswith("*") else _AFTER
    patterns = [before + _BETWEEN_WORDS.join(map(_joined, words)) + after]
    plain = fold(term.strip("*"))
    if len(words) == 1 and len(plain) >= SPELLED_LENGTH_MIN and plain.isalpha():
        patterns.append(_BEFORE + _BETWEEN_LETTERS.join(map(_letter, plain)) + _AFTER)
    return patterns


def _joined(word: str) -> str:
    if numbers := _RANGE.fullmatch(word):
        first, last = int(numbers.group(1)), int(numbers.group(2))
        return rf"(?<!\d)(?:{'|'.join(str(number) for number in range(first, last + 1))})(?!\d)"
    runs = [(char, len(list(run))) for char, run in groupby(fold(word.strip("*")))]
    letters = "".join(f"{_letter(char)}{{{count},{max(count, 3)}}}" for char, count in runs)
    return letters + (f"{_LETTER}*" if word.endswith("*") else "")


def _letter(char: str) -> str:
    return f"[{re.escape(_DIGITS.get(char, char))}]"

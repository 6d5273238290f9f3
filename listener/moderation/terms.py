"""Finds the terms of a rule in folded text.

A term is words; `*` at an edge of a word stands for the rest of it, `{1-17}` for a number of that range. Letters may be
written as the digits that look like them, repeated, or spelled out with something between each two.
Knows no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from listener.moderation.fold import fold

_DIGITS = {"a": "a4@", "b": "b8", "e": "e3", "g": "g9", "i": "i1!|", "l": "l1|", "o": "o0", "s": "s5$", "t": "t7+"}
_LETTERS = str.maketrans({like: "i" if char == "l" else char for char, likes in _DIGITS.items() for like in likes})
_RANGE = re.compile(r"\{(\d{1,3})-(\d{1,3})\}")
# Chinese, Japanese, Korean and Thai do not part their words, so a letter of theirs is no part of the word beside it.
_LETTER = r"[^\W\d_\u0e00-\u0e7f\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af]"
_BEFORE, _AFTER = f"(?<!{_LETTER})", f"(?!{_LETTER})"
_BETWEEN_WORDS = r"[\W_]*"
_BETWEEN_LETTERS = r"[\W_]{1,3}"
_RUN = re.compile(r"(.)\1+", re.DOTALL)
_NO_LETTER = re.compile(r"[\W_]+")
SPELLED_LENGTH_MIN = 3


class Folded:
    """A folded text, and its letters alone: by those most terms are ruled out at once."""

    __slots__ = ("letters", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        # A sign is a letter in n@ked and stands between letters in n!u!d!e.
        self.letters = _letters(text) + " " + _letters(_NO_LETTER.sub("", text))


@dataclass(frozen=True, slots=True)
class Term:
    """One term: the letters that a text must hold, and the pattern that decides."""

    letters: str
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, written: str) -> Term:
        """Raises: ValueError for a term without a letter or digit."""
        words = written.split()
        if not any(char.isalnum() for char in written):
            raise ValueError(f"{written!r} holds no word")
        plain = [_letters(fold(word.strip("*"))) for word in words if not _RANGE.fullmatch(word)]
        return cls(max(plain, key=len, default=""), re.compile("|".join(_alternatives(words))))

    def stands_in(self, text: Folded) -> bool:
        """Whether it stands there; digits alone are a number and no word."""
        return self.letters in text.letters and any(map(_has_letter, self.pattern.finditer(text.text)))

    def is_all_of(self, text: Folded) -> bool:
        """Whether there is nothing else."""
        return self.letters in text.letters and self.pattern.fullmatch(text.text) is not None


@dataclass(frozen=True, slots=True)
class Terms:
    """Several terms, of which one is enough."""

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, written: Iterable[str]) -> Terms:
        """Raises: ValueError for a term without a letter or digit."""
        return cls(tuple(map(Term.of, written)))

    def __bool__(self) -> bool:
        return bool(self.terms)

    def stand_in(self, text: Folded) -> bool:
        """Whether one of them stands in a text."""
        return any(term.stands_in(text) for term in self.terms)

    def are_all_of(self, text: Folded) -> bool:
        """Whether the text is one of them."""
        return any(term.is_all_of(text) for term in self.terms)

    def taken_out_of(self, text: Folded) -> Folded:
        """The text without them; nothing meets across the gap."""
        for term in self.terms:
            if term.letters in text.letters:
                text = Folded(term.pattern.sub(" . ", text.text))
        return text


def _has_letter(match: re.Match[str]) -> bool:
    return any(char.isalpha() for char in match.group())


def _letters(text: str) -> str:
    return _RUN.sub(r"\1", _NO_LETTER.sub("", text.translate(_LETTERS)))


def _alternatives(words: list[str]) -> list[str]:
    before = "" if words[0].startswith("*") else _BEFORE
    after = f"{_LETTER}*" if words[-1].endswith("*") else _AFTER
    patterns = [before + _BETWEEN_WORDS.join(map(_joined, words)) + after]
    plain = fold(words[0].strip("*"))
    if len(words) == 1 and len(plain) >= SPELLED_LENGTH_MIN and plain.isalpha():
        spelled = (_letter("".join(filter(str.isalnum, _likes(char)))) for char in plain)  # signs stand between them
        patterns.append(_BEFORE + _BETWEEN_LETTERS.join(spelled) + _AFTER)
    return patterns


def _joined(word: str) -> str:
    if numbers := _RANGE.fullmatch(word):
        first, last = int(numbers.group(1)), int(numbers.group(2))
        return rf"(?<!\d)(?:{'|'.join(str(number) for number in range(first, last + 1))})(?!\d)"
    runs = [(char, len(list(run))) for char, run in groupby(fold(word.strip("*")))]
    letters = "".join(f"{_letter(_likes(char))}{{{count},{max(count, 3)}}}" for char, count in runs)
    return letters + (f"{_LETTER}*" if word.endswith("*") else "")


def _likes(char: str) -> str:
    return _DIGITS.get(char, char)


def _letter(likes: str) -> str:
    return f"[{re.escape(likes)}]"

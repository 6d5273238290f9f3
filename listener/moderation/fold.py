"""Folds a text to what it looks like, so that a word written plainly meets every spelling of it.

Knows Unicode and shapes of letters; knows no word.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

LOOKALIKES = str.maketrans(
    # Cyrillic, Greek, Armenian and Cherokee letters that people read as Latin ones; case is folded before.
    "авсԁеэгһнійјкӏмпиорԛѕтуүѵԝшщхяьъз" + "αβεγικηνορτυμχωςσζ" + "օսհոցզռ" + "ꭺꮯꭼꭻꮶꮮꮇꮲꮪꭲꮩꮃꮓ" + "ıɑɡəɩᴑʋɔŋʉ₦€£₿",
    "abcdeerhniijklmnnopqstyyvwwwxrbbz" + "abeyiknnoptuuxwcoz" + "ouhngqn" + "acejklmpstvwz" + "iageiouonunelb",
)
"""Own table of shapes; accents, widths, circles, small capitals and turned letters go by their Unicode names."""
_NAMED = re.compile(
    r"(?:LATIN|REGIONAL INDICATOR|(?:NEGATIVE |CROSSED )*(?:CIRCLED|SQUARED|PARENTHESIZED) LATIN).*"
    r"\b(?:LETTER|CAPITAL|TURNED|REVERSED|INVERTED|SIDEWAYS|DOTLESS|SCRIPT|OPEN|CLOSED|BLACKLETTER) ([A-Z])"
    r"(?: WITH .*)?$"
)
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_RUN = re.compile(r"(.)\1{3,}", re.DOTALL)


def fold(text: str) -> str:
    """Lower case, no marks, nothing invisible, letters by their shape, no letter more than three times in a row."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return _RUN.sub(r"\1\1\1", "".join(map(_shape, plain)).translate(LOOKALIKES))


@lru_cache(maxsize=4096)
def _shape(char: str) -> str:
    if char.isascii():
        return char if char.isprintable() else (" " if char.isspace() else "")
    category = unicodedata.category(char)
    if category in {"Mn", "Me"} or category.startswith("C") or char in _BLANK:
        return ""
    if char.isspace():
        return " "
    named = _NAMED.match(unicodedata.name(char, ""))
    return named.group(1).lower() if named else char

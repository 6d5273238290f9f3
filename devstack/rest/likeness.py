"""Which name the caller may have meant, as PostgREST's hints guess it: by the letters in pairs and triples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import sqrt

LEAST = 0.4
"""Below this the real server's hints are silent, as far as the recorded ones tell."""
GRAMS = (3, 2)


def most_like(text: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like the text, or None when none is like it."""
    names = list(candidates)
    for size in GRAMS:
        wanted = _grams(text, size)
        scored = [(_closeness(wanted, _grams(name, size)), name) for name in names]
        score, best = max(scored, default=(0.0, ""), key=lambda pair: pair[0])
        if score >= LEAST:
            return best
    return None


def _grams(text: str, size: int) -> Counter[str]:
    padded = f"-{text.lower()}-"
    return Counter(padded[i : i + size] for i in range(max(len(padded) - size + 1, 1)))


def _closeness(one: Counter[str], other: Counter[str]) -> float:
    shared = sum(count * other[gram] for gram, count in one.items())
    return shared / sqrt(sum(n * n for n in one.values()) * sum(n * n for n in other.values()))

"""Takes secrets, signed URLs and people's words out of a log line, by key, by shape, and by value.

Knows what they look like; does not know where a line comes from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

HIDDEN = "[redacted]"
SHORTEST_HIDDEN_TEXT = 6
"""Shorter texts of a session would blank out half of every line."""
SHORTEST_HIDDEN_WORD = 4
LONGEST_HIDDEN_TEXT = 20_000
QUOTED_HEAD = 40
"""A longer text is a file in letters; of those, messages quote the beginning and the end."""

_SECRET_KEY = re.compile(
    r"prompt|secret|token|passw|authorization|api_?key|service_role|cookie|signature|signed_?url|(^|_)url$"
    r"|^params$|^(old_)?record$",
    re.IGNORECASE,
)
_GIVEN = r"token|apikey|api_key|access_token|signature|credential|secret|password|passwd|pwd|sig|key"
_SHAPES = (
    (re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?"), HIDDEN),  # JWT
    (re.compile(r"\bsb_(secret|publishable)_[A-Za-z0-9_-]+"), HIDDEN),
    (re.compile(r"\b(sk|pk|rk|hf|r8|rpa|whsec|lsk|key|ghp|github_pat|xai)[-_][A-Za-z0-9_+/=-]{16,}"), HIDDEN),
    (re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}"), HIDDEN),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{32}\b"), HIDDEN),  # fal: id and secret
    (re.compile(rf"(?i)(?:\b|(?<=%3F)|(?<=%26))({_GIVEN})(=|%3D)[^&\s\"'<>]+"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(rf"(?i)([\"'])((?:[a-z]+[-_])*(?:{_GIVEN}|authorization))\1\s*:\s*([\"']).*?\3"),
        rf"\1\2\1: \3{HIDDEN}\3",
    ),
    (re.compile(r"://[^/\s:@]+:[^/\s@]+@"), f"://{HIDDEN}@"),  # a password in a URL
)
# A row's ids and times name a session; they are no words of a person.
_NAME_OR_TIME = re.compile(r"[0-9a-fA-F-]{36}|\d{4}-\d\d-\d\dT[0-9:.+Z-]+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_FRAME = re.compile(r'\s*File ".*", line \d+')
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
# What our own lines are found by: names that we chose, never words of a person.
_NAMES = frozenset({"level", "timestamp", "part", "worker", "verdict", "settled", "code", "refused_with"}) | frozenset(
    {"session", "attempt", "kind", "row_id", "request_id"}
)
_secrets: set[str] = set()


@dataclass(frozen=True, slots=True)
class _Texts:
    """What a session's owner wrote: whole texts in every spelling, longest first; and their words, case folded."""

    whole: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()
    foreign: str = ""

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> _Texts:
        texts = [part for text in _texts_of(params) for part in _bounded(text)]
        whole = {spelling for text in texts for spelling in _spellings(text) if len(text) >= SHORTEST_HIDDEN_TEXT}
        words = [word.casefold() for text in texts if not _URL.fullmatch(text) for word in _WORD.findall(text)]
        foreign = "\n".join(word for word in words if not word.isascii())
        telling = frozenset(word for word in words if len(word) >= SHORTEST_HIDDEN_WORD)
        return cls(tuple(sorted(whole, key=len, reverse=True)), telling, foreign)

    def take_whole(self, text: str) -> str:
        for hidden in self.whole:
            text = text.replace(hidden, HIDDEN)
        return text

    def take_words(self, text: str) -> str:
        """Libraries quote pieces of a prompt, lower-cased and cut anywhere; a traceback's frames hold none."""
        if not self.words and not self.foreign:
            return text
        lines = text.split("\n")
        return "\n".join(line if _FRAME.match(line) else _WORD.sub(self._masked, line) for line in lines)

    def _masked(self, match: re.Match[str]) -> str:
        word = match.group().casefold()
        # Some scripts do not part their words: a piece of one tells as much as the whole.
        telling = word in self.words or (not word.isascii() and len(word) > 1 and word in self.foreign)
        return HIDDEN if telling else match.group()


_NOTHING = _Texts()
_texts: ContextVar[_Texts] = ContextVar("texts", default=_NOTHING)
_running: dict[object, _Texts] = {}


def hide_secrets(secrets: Iterable[str]) -> None:
    """Never let these strings into a line of this process."""
    long = (secret for secret in secrets if len(secret) >= SHORTEST_HIDDEN_TEXT)
    _secrets.update(spelling for secret in long for spelling in _spellings(secret))


@contextmanager
def hiding_texts(params: Mapping[str, Any]) -> Iterator[None]:
    """Keep the words of a session's parameters out of the lines written meanwhile, tracebacks included."""
    texts, mark = _Texts.of(params), uuid4()
    _running[mark] = texts
    reset = _texts.set(texts)
    try:
        yield
    finally:
        _texts.reset(reset)
        del _running[mark]


def redact(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Clean a whole line; a structlog processor."""
    return {clean_secrets(key): _clean_field(key, value) for key, value in line.items()}


def clean_secrets(text: str) -> str:
    """Take out every known secret, and what has the shape of one."""
    for hidden in _secrets:
        text = text.replace(hidden, HIDDEN)
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def clean_text(text: str) -> str:
    """Take out secrets and the words of the session at hand; of the sessions that run beside it, whole texts."""
    own = _texts.get()
    for texts in (own, *list(_running.values())):
        text = texts.take_whole(text)
    return own.take_words(clean_secrets(text))


def _clean_field(key: str, value: Any) -> Any:
    own = key in _NAMES or (key == "event" and isinstance(value, str) and _IDENTIFIER.fullmatch(value))
    return clean_secrets(value) if own and isinstance(value, str) else _clean(key, value)


def _clean(key: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if _SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, Mapping):
        return {clean_text(str(name)): _clean(str(name), inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean("", inner) for inner in value]
    return clean_text(str(value))


def _bounded(text: str) -> Iterator[str]:
    if len(text) <= LONGEST_HIDDEN_TEXT:
        yield text
    else:
        yield from (text[:LONGEST_HIDDEN_TEXT], text[:QUOTED_HEAD], text[-QUOTED_HEAD:])


def _spellings(text: str) -> set[str]:
    """How a text looks after it went through repr, JSON or a URL."""
    escaped = {json.dumps(text)[1:-1], text.encode("unicode_escape").decode(), repr(text)[1:-1]}
    return {text, " ".join(text.split()), quote(text, safe=""), quote(text), *escaped}


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if not _NAME_OR_TIME.fullmatch(value):
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts_of(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts_of(inner)

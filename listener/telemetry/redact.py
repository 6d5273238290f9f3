"""Takes secrets, signed URLs and people's words out of a log line, by key, by shape, and by value.

Knows what they look like; does not know where a line comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

HIDDEN = "[redacted]"
SHORTEST_HIDDEN_TEXT = 6
"""Shorter words of a prompt would blank out half of every line."""

_SECRET_KEY = re.compile(
    r"prompt|secret|token|passw|authorization|api_?key|service_role|cookie|signature|signed_?url|(^|_)url$",
    re.IGNORECASE,
)
_SHAPES = (
    (re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?"), HIDDEN),  # JWT
    (re.compile(r"\bsb_(secret|publishable)_[A-Za-z0-9_-]+"), HIDDEN),
    (re.compile(r"\b(sk|pk|rk|hf|r8|whsec|key)[-_][A-Za-z0-9_-]{16,}"), HIDDEN),
    (re.compile(r"(?i)\b(token|apikey|api_key|access_token|signature|key)=[^&\s\"'<>]+"), rf"\1={HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"://[^/\s:@]+:[^/\s@]+@"), f"://{HIDDEN}@"),  # a password in a URL
)
# A row's ids and times name a session; they are no words of a person.
_NAME_OR_TIME = re.compile(r"[0-9a-fA-F-]{36}|\d{4}-\d\d-\d\dT[0-9:.+Z-]+")
_secrets: set[str] = set()
_texts: ContextVar[tuple[str, ...]] = ContextVar("texts", default=())


def hide_secrets(secrets: Iterable[str]) -> None:
    """Never let these strings into a line of this process."""
    _secrets.update(secret for secret in secrets if len(secret) >= SHORTEST_HIDDEN_TEXT)


@contextmanager
def hiding_texts(params: Mapping[str, Any]) -> Iterator[None]:
    """Keep the words of a session's parameters out of the lines written meanwhile, tracebacks included."""
    reset = _texts.set(tuple(sorted(_words_of(params), key=len, reverse=True)))
    try:
        yield
    finally:
        _texts.reset(reset)


def redact(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Clean a whole line; a structlog processor."""
    return {clean_text(key): _clean(key, value) for key, value in line.items()}


def clean_text(text: str) -> str:
    """Take out what has the shape of a secret, every known secret, and the words of the session at hand."""
    for hidden in (*_secrets, *_texts.get()):
        text = text.replace(hidden, HIDDEN)
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def _clean(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key) and value is not None and not isinstance(value, (bool, int, float)):
        return HIDDEN
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(str(name)): _clean(str(name), inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean("", inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return clean_text(str(value))


def _words_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= SHORTEST_HIDDEN_TEXT and not _NAME_OR_TIME.fullmatch(value):
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _words_of(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _words_of(inner)

"""The headers of answers, by name. Knows what each means; the server and the callers' check set them."""

from __future__ import annotations

from typing import Any

INTEGER = {"type": "integer", "minimum": 0}
HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Request-Id": ("The caller's own, when it sent one, else ours; it stands in our logs", {"type": "string"}),
    "RateLimit-Limit": ("Requests that the key has in any 60 s; absent for a key without a limit", INTEGER),
    "RateLimit-Remaining": ("How many of them are left", INTEGER),
    "RateLimit-Reset": ("Seconds until the oldest of them are forgotten", INTEGER),
    "Retry-After": ("Seconds to wait before the same request is sent again", INTEGER),
    "WWW-Authenticate": ("The scheme of the credential", {"type": "string", "const": "Bearer"}),
    "Location": ("The path to read it at", {"type": "string"}),
    "Allow": ("The methods that the path has", {"type": "string"}),
}
OF_EVERY_ANSWER = ("X-Request-Id",)
OF_A_KEY = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
OF_A_REFUSAL = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 502: ("Retry-After",)}


def shown_headers() -> dict[str, Any]:
    """The document's components."""
    return {name: {"description": words, "schema": schema} for name, (words, schema) in HEADERS.items()}

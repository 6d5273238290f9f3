"""What an endpoint raises to say no: status, code, words, details and headers of the answer.

Knows the shape of every error body; does not know which endpoint refuses what.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refused(Exception):  # noqa: N818 - it says what happened
    """A request that is not served, and what its sender is told."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **details: Any
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.details = status, code, message, details
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return error_body(self.code, self.message, self.details)


def error_body(code: str, message: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """The one shape of all errors."""
    return {"error": {"code": code, "message": message, "details": details or {}}}

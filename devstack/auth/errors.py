"""What sign-in refuses, in supabase/auth's words and in the format that the client's API version asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

VERSION_HEADER = "X-Supabase-Api-Version"
# From this version on, errors are {code, message}; before it {code: status, error_code, msg}.
FIRST_NEW_VERSION = "2024-01-01"


@dataclass
class AuthError(Exception):
    """An answer that is an error."""

    status: int
    code: str
    message: str
    more: dict[str, Any] = field(default_factory=dict)

    def response(self, http: web.Request) -> web.Response:
        """Worded for this client."""
        version = http.headers.get(VERSION_HEADER, "")
        headers = {"x-sb-error-code": self.code}
        if version >= FIRST_NEW_VERSION:
            headers[VERSION_HEADER] = FIRST_NEW_VERSION
            body: dict[str, Any] = {"code": self.code, "message": self.message, **self.more}
        else:
            body = {"code": self.status, "error_code": self.code, "msg": self.message, **self.more}
        return web.json_response(body, status=self.status, headers=headers)


@dataclass
class OAuthError(AuthError):
    """One of the few that have OAuth's shape instead."""

    def response(self, http: web.Request) -> web.Response:
        """The same for every client."""
        return web.json_response({"error": self.code, "error_description": self.message}, status=self.status)


def wrong(message: str, code: str = "validation_failed") -> AuthError:
    """A 400."""
    return AuthError(400, code, message)

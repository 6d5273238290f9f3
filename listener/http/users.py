"""Which user of the app calls, by the access token that Supabase Auth gave him.

Knows headers and answers; does not know how a token is checked.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from listener.api import TokenReader, User
from listener.http.refusal import Refused

CHALLENGE = {"WWW-Authenticate": "Bearer"}
WHY = {
    "expired": ("TOKEN_EXPIRED", "The access token has ended. Refresh the session."),
    "invalid": ("TOKEN_INVALID", "This is no access token of a signed-in user of this project."),
}


class Users:
    """Finds the user of a request."""

    def __init__(self, tokens: TokenReader) -> None:
        self._tokens = tokens

    async def of(self, request: web.Request) -> User:
        """Whose request it is. Raises: Refused (401); StoreUnavailable."""
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            message = "Send the header Authorization: Bearer <access token>."
            raise Refused(401, "TOKEN_MISSING", message, CHALLENGE)
        user = await self._tokens.user(token.strip())
        if isinstance(user, User):
            return user
        raise Refused(401, *WHY[user], CHALLENGE)

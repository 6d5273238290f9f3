"""Who calls: the credential of a request, and what its answer has to say about it.

Knows the API keys of stores; users and their tokens are users.py's, for what is done for a user is done in his name.
"""

from __future__ import annotations

import hashlib
import re

from aiohttp import hdrs, web

from listener.api import Authenticated, Caller, KeyRing
from listener.http.refusal import Refused
from listener.http.server import ANSWER_HEADERS

KEY = re.compile(r"lsk_[A-Za-z0-9_-]{43}")
"""256 bits: nobody guesses one, so a plain hash is looked up, and how long that takes tells nothing of the key."""
CHALLENGE = {"WWW-Authenticate": "Bearer"}


def digest_of(key: str) -> str:
    """What is kept of an API key."""
    return hashlib.sha256(key.encode()).hexdigest()


class Callers:
    """Finds the caller of a request."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def of(self, request: web.Request) -> Caller:
        """Whose request it is. Raises: Refused (401, 429); StoreError."""
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refused(401, "API_KEY_MISSING", "Send the header Authorization: Bearer <API key>.", CHALLENGE)
        token = token.strip()
        if not KEY.fullmatch(token):
            raise _unknown()
        found = await self._keys.authenticate(digest_of(token))
        if found.caller is None:
            raise _unknown()
        request[ANSWER_HEADERS].update(_headers(found))
        if found.retry_after_s is not None:
            message = "This API key had its requests for now."
            raise Refused(429, "RATE_LIMITED", message, retry_after_s=found.retry_after_s)
        return found.caller


def _unknown() -> Refused:
    return Refused(401, "API_KEY_INVALID", "This API key is not known, or was revoked.", CHALLENGE)


def _headers(found: Authenticated) -> dict[str, str]:
    headers = {"RateLimit-Remaining": str(found.remaining), "RateLimit-Reset": str(found.reset_s)}
    if found.limit is not None:
        headers["RateLimit-Limit"] = str(found.limit)
    if found.retry_after_s is not None:
        headers[hdrs.RETRY_AFTER] = str(found.retry_after_s)
    return headers

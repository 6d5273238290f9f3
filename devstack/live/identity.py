"""Who a token says the subscriber is, and in which words a bad token is refused.

Knows tokens only; what the role may see is the database's matter.
Source: the wordings are recorded from Realtime v2.129.8, which has three of them: at connect, at join, at refresh.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import jwt

from devstack.live.frames import compact
from devstack.tokens import ProjectKeys

A_CENTURY_S = 100 * 365 * 86_400
FIELDS_MISSING = "Fields `role` and `exp` are required in JWT"
MALFORMED = "The token provided is not a valid JWT"


class TokenRefusedError(Exception):
    """A token that opens nothing; `at_connect`, `at_join` and `at_refresh` are the texts for the client."""

    def __init__(self, at_connect: str, at_join: str, at_refresh: str | None = None) -> None:
        super().__init__(at_join)
        self.at_connect = at_connect
        self.at_join = at_join
        self.at_refresh = at_refresh or at_connect


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified token.

    Units: expires_at is Unix time in seconds.
    """

    token: str
    role: str
    claims: str
    expires_at: float


def identify(token: object, keys: ProjectKeys) -> Identity:
    """Verify a token.

    Raises: TokenRefusedError.
    """
    malformed = TokenRefusedError(MALFORMED, f"MalformedJWT: {MALFORMED}")
    if not isinstance(token, str):
        raise malformed
    try:
        # The expiry is checked below: its refusal tells how long ago, and comes after the missing fields.
        claims = keys.decode(token, leeway_s=A_CENTURY_S)
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as error:
        text = "Failed to validate JWT signature"
        raise TokenRefusedError(text, f"JwtSignatureError: {text}", ":signature_error") from error
    except (jwt.PyJWTError, ValueError) as error:
        raise malformed from error
    role, expires_at = claims.get("role"), claims.get("exp")
    if not isinstance(role, str) or isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
        raise TokenRefusedError(FIELDS_MISSING, f"InvalidJWTToken: {FIELDS_MISSING}")
    past_s = time.time() - expires_at
    if past_s >= 0:
        raise expired(past_s)
    return Identity(token, role, compact(claims), expires_at)


def expired(past_s: float) -> TokenRefusedError:
    """The refusal of a token that was good until `past_s` seconds ago."""
    text = f"Token has expired {int(past_s)} seconds ago"
    return TokenRefusedError("Token has expired", f"InvalidJWTToken: {text}", text)

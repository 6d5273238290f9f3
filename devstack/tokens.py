"""The project's keys and the JWTs made from them; knows nothing of HTTP or SQL."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import jwt

ALGORITHM = "HS256"
ISSUER = "listener-devstack"
TEN_YEARS_S = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """What `supabase start` would print: one secret, the two long-lived keys signed with it, and two opaque keys."""

    jwt_secret: str
    anon_key: str
    service_role_key: str
    publishable_key: str
    secret_key: str

    @classmethod
    def generate(cls) -> ProjectKeys:
        """Make a fresh secret and the keys."""
        secret = secrets.token_hex(32)
        return cls(
            secret,
            _sign(secret, {"role": "anon"}, TEN_YEARS_S),
            _sign(secret, {"role": "service_role"}, TEN_YEARS_S),
            f"sb_publishable_{_opaque()}",
            f"sb_secret_{_opaque()}",
        )

    def token_of(self, key: str) -> str | None:
        """The JWT that a project key stands for; None when it is no key of the project."""
        if key in {self.anon_key, self.publishable_key}:
            return self.anon_key
        return self.service_role_key if key in {self.service_role_key, self.secret_key} else None

    def mint(self, claims: dict[str, Any], valid_s: int) -> str:
        """Sign claims; `iat`, `exp` and `iss` are added."""
        return _sign(self.jwt_secret, claims, valid_s)

    def decode(self, token: str, leeway_s: int = 0) -> dict[str, Any]:
        """Check signature and times.

        Raises: jwt.PyJWTError; each service words it in its own way.
        """
        claims: dict[str, Any] = jwt.decode(
            token, self.jwt_secret, algorithms=[ALGORITHM], leeway=leeway_s, options={"verify_aud": False}
        )
        return claims


def _sign(secret: str, claims: dict[str, Any], valid_s: int) -> str:
    now = int(time.time())
    return jwt.encode({"iss": ISSUER, "iat": now, "exp": now + valid_s, **claims}, secret, algorithm=ALGORITHM)


def _opaque() -> str:
    # 22 characters, and 8 that on a real project are a checksum.
    return f"{secrets.token_urlsafe(16)[:22]}_{secrets.token_urlsafe(6)[:8]}"

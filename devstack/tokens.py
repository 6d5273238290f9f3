"""The project's keys and the JWTs made from them; knows nothing of HTTP or SQL."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ALGORITHM = "HS256"
USERS_ALGORITHM = "ES256"
ISSUER = "listener-devstack"
TEN_YEARS_S = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that sign-in signs users' tokens with; everybody may know its public half."""

    id: str = field(default_factory=lambda: str(uuid4()))
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )

    def public(self) -> dict[str, Any]:
        """The public half as a JSON Web Key."""
        key: dict[str, Any] = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**key, "alg": USERS_ALGORITHM, "ext": True, "key_ops": ["verify"], "kid": self.id, "use": "sig"}


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """A project's secret, the two long-lived keys signed with it, two opaque keys, and the key of users' tokens.

    As on a hosted project, a token is good when the secret signed it, or the signing key.
    """

    jwt_secret: str
    anon_key: str
    service_role_key: str
    publishable_key: str
    secret_key: str
    signing_key: SigningKey = field(default_factory=SigningKey)

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

    def mint_for_user(self, claims: dict[str, Any], valid_s: int) -> str:
        """Sign claims as sign-in does; `iat` and `exp` are added."""
        now = int(time.time())
        told = {"iat": now, "exp": now + valid_s, **claims}
        return jwt.encode(told, self.signing_key.private, USERS_ALGORITHM, headers={"kid": self.signing_key.id})

    def decode(self, token: str, leeway_s: int = 0) -> dict[str, Any]:
        """Check signature and times.

        Raises: jwt.PyJWTError; each service words it in its own way.
        """
        key, algorithm = self.verifying(token)
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=[algorithm], leeway=leeway_s, options={"verify_aud": False}
        )
        return claims

    def verifying(self, token: str) -> tuple[Any, str]:
        """The key and the algorithm that a token must have been signed with.

        Raises: jwt.PyJWTError when it is no token.
        """
        header = jwt.get_unverified_header(token)
        if header.get("alg") == USERS_ALGORITHM and header.get("kid") == self.signing_key.id:
            return self.signing_key.private.public_key(), USERS_ALGORITHM
        return self.jwt_secret, ALGORITHM


def _sign(secret: str, claims: dict[str, Any], valid_s: int) -> str:
    now = int(time.time())
    return jwt.encode({"iss": ISSUER, "iat": now, "exp": now + valid_s, **claims}, secret, algorithm=ALGORITHM)


def _opaque() -> str:
    # 22 characters, and 8 that on a real project are a checksum.
    return f"{secrets.token_urlsafe(16)[:22]}_{secrets.token_urlsafe(6)[:8]}"

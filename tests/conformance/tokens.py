"""The tokens of a replay: those a placeholder stands for, and recorded ones signed again, moved to the present."""

from __future__ import annotations

import time
from typing import Any

import jwt

from devstack.tokens import ALGORITHM, ProjectKeys

USER_1 = "11111111-1111-4111-8111-111111111111"
USER_2 = "22222222-2222-4222-8222-222222222222"
OTHER_SECRET = "a secret that is not the project's own"
VALID_S = 3600


def standing_in(keys: ProjectKeys) -> dict[str, str]:
    """A token for each name that is recorded as `<name jwt>`."""
    claims: dict[str, dict[str, Any]] = {
        "service_role": {"role": "service_role"},
        "anon": {"role": "anon"},
        "authenticated": {"role": "authenticated", "sub": USER_1},
        "user1": {"role": "authenticated", "sub": USER_1},
        "user2": {"role": "authenticated", "sub": USER_2},
    }
    return {name: keys.mint(said, VALID_S) for name, said in claims.items()}


def signed_again(token: str, keys: ProjectKeys, recorded_at: float, *, wrongly: bool = False) -> str:
    """The recorded token with the project's signature (or `wrongly` with another), its times moved to now.

    What is no JWT is returned as it is.
    """
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return token
    for name in ("exp", "iat", "nbf"):
        if isinstance(claims.get(name), int | float):
            claims[name] = int(claims[name] + time.time() - recorded_at)
    if header["alg"] == "none":
        return jwt.encode(claims, None, algorithm="none")
    secret = OTHER_SECRET if wrongly else keys.jwt_secret
    return jwt.encode(claims, secret, algorithm=header.get("alg", ALGORITHM))

"""Decides who is calling from the Authorization header; knows nothing of what is asked."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from jwt.types import Options

from devstack.postgres.caller import Caller
from devstack.rest.errors import RestError
from devstack.tokens import ProjectKeys

LEEWAY_S = 30
PARTS = 3
SIGNATURE_ALONE: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}


def caller_of(authorization: str | None, keys: ProjectKeys) -> Caller:
    """The caller; without a bearer token it is `anon`.

    Raises: RestError 401.
    Source: recorded; each case of a bad token has its own words.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        return Caller("anon", {"role": "anon"})
    token = token.strip()
    if not token:
        raise _refused("PGRST301", "Empty JWT is sent in Authorization header")
    if token.count(".") + 1 != PARTS:
        raise _refused("PGRST301", f"Expected {PARTS} parts in JWT; got {token.count('.') + 1}")
    claims = _decode(token, keys)
    _check_times(claims)
    role = claims.setdefault("role", "anon")
    return Caller(role if isinstance(role, str) else json.dumps(role), claims)


def _decode(token: str, keys: ProjectKeys) -> dict[str, Any]:
    """The claims of a token that the project signed; the real server words the times otherwise than the library."""
    try:
        key, algorithm = keys.verifying(token)
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], options=SIGNATURE_ALONE)
    except jwt.InvalidAlgorithmError:
        raise _wrong_algorithm(token) from None
    except jwt.InvalidSignatureError:
        details = "None of the keys was able to decode the JWT"
        raise _refused("PGRST301", "No suitable key or wrong key type", details) from None
    except jwt.PyJWTError:
        raise _refused("PGRST301", "JWT cryptographic operation failed") from None
    return claims


def _check_times(claims: dict[str, Any]) -> None:
    """A token is good until 30 s after its end and from 30 s before its beginning; one without times always is."""
    now = time.time()
    exp, nbf, iat = (_epoch(claims, name) for name in ("exp", "nbf", "iat"))
    if exp is not None and now - LEEWAY_S > exp:
        raise _refused("PGRST303", "JWT expired")
    if nbf is not None and now + LEEWAY_S < nbf:
        raise _refused("PGRST303", "JWT not yet valid")
    if iat is not None and now + LEEWAY_S < iat:
        raise _refused("PGRST303", "JWT issued at future")


def _epoch(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused("PGRST303", f"The JWT '{name}' claim must be a number")
    return float(value)


def _wrong_algorithm(token: str) -> RestError:
    if str(jwt.get_unverified_header(token).get("alg")).lower() == "none":
        details = "JWT is unsecured but expected 'alg' was not 'none'"
        return _refused("PGRST301", "Wrong or unsupported encoding algorithm", details)
    details = "No suitable key was found to decode the JWT"
    return _refused("PGRST301", "No suitable key or wrong key type", details)


def _refused(code: str, message: str, details: str | None = None) -> RestError:
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return RestError(401, code, message, details, headers={"WWW-Authenticate": challenge})

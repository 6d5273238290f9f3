"""Decides who is calling from the Authorization header; knows nothing of what is asked."""

from __future__ import annotations

import jwt

from devstack.postgres.caller import Caller
from devstack.rest.errors import RestError
from devstack.tokens import ProjectKeys

LEEWAY_S = 30
PARTS = 3


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
    role = claims.setdefault("role", "anon")
    return Caller(role if isinstance(role, str) else "anon", claims)


def _decode(token: str, keys: ProjectKeys) -> dict[str, object]:
    try:
        return keys.decode(token, LEEWAY_S)
    except jwt.ExpiredSignatureError:
        raise _refused("PGRST303", "JWT expired") from None
    except jwt.ImmatureSignatureError as error:
        text = "JWT issued at future" if "iat" in str(error) else "JWT not yet valid"
        raise _refused("PGRST303", text) from None
    except jwt.InvalidAlgorithmError:
        raise _wrong_algorithm(token) from None
    except jwt.InvalidSignatureError:
        details = "None of the keys was able to decode the JWT"
        raise _refused("PGRST301", "No suitable key or wrong key type", details) from None
    except jwt.PyJWTError:
        raise _refused("PGRST301", "JWT cryptographic operation failed") from None


def _wrong_algorithm(token: str) -> RestError:
    if str(jwt.get_unverified_header(token).get("alg")).lower() == "none":
        details = "JWT is unsecured but expected 'alg' was not 'none'"
        return _refused("PGRST301", "Wrong or unsupported encoding algorithm", details)
    details = "No suitable key was found to decode the JWT"
    return _refused("PGRST301", "No suitable key or wrong key type", details)


def _refused(code: str, message: str, details: str | None = None) -> RestError:
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return RestError(401, code, message, details, headers={"WWW-Authenticate": challenge})

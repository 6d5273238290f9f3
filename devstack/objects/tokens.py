"""Who is calling, and what a signed URL allows; knows nothing of objects."""

from __future__ import annotations

from typing import Any

import jwt

from devstack.objects.errors import StorageError, denied, invalid_request
from devstack.postgres.caller import Caller
from devstack.tokens import ProjectKeys

PARTS = 3


def caller_of(authorization: str | None, keys: ProjectKeys) -> Caller:
    """The caller; a token without a role is anon's. There is no leeway on times.

    Raises: StorageError.
    """
    if authorization is None:
        raise invalid_request("headers must have required property 'authorization'")
    token = authorization.removeprefix("Bearer ").strip()
    try:
        claims = _decode(token, keys)
    except jwt.PyJWTError as error:
        raise denied(_words(token, error)) from None
    role = claims.get("role")
    return Caller(role if isinstance(role, str) and role else "anon", claims)


def sign_download(bucket: str, key: str, valid_s: int, keys: ProjectKeys) -> str:
    """A token that reads one object; the bytes may change under it."""
    return keys.mint({"url": f"{bucket}/{key}", "scope": "download"}, valid_s)


def check_download(token: str, bucket: str, key: str, keys: ProjectKeys) -> int | None:
    """When the token ends, in Unix seconds; None when it never does.

    Raises: StorageError when it is none, has ended, or is for something else.
    """
    try:
        claims = _decode(token, keys)
    except jwt.PyJWTError as error:
        raise StorageError("400", "InvalidJWT", _words(token, error), "InvalidJWT") from None
    if claims.get("url") != f"{bucket}/{key}" or claims.get("scope", "download") != "download" or "upsert" in claims:
        raise StorageError("400", "InvalidSignature", "Invalid signature", "InvalidSignature")
    ends = claims.get("exp")
    return ends if isinstance(ends, int) else None


def _decode(token: str, keys: ProjectKeys) -> dict[str, Any]:
    return keys.decode(token)


def _words(token: str, error: jwt.PyJWTError) -> str:
    if token.count(".") + 1 != PARTS:
        return "Invalid Compact JWS"
    if isinstance(error, jwt.ExpiredSignatureError):
        return '"exp" claim timestamp check failed'
    if isinstance(error, jwt.ImmatureSignatureError):
        return '"iat" claim timestamp check failed' if "iat" in str(error) else '"nbf" claim timestamp check failed'
    if isinstance(error, jwt.InvalidSignatureError):
        return "signature verification failed"
    return "JWS Protected Header is invalid"

"""Who is calling, and what a signed URL allows; knows nothing of objects."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import jwt

from devstack.objects.errors import StorageError, denied, invalid_request, invalid_signature
from devstack.postgres.caller import Caller
from devstack.tokens import ALGORITHM, ProjectKeys

PARTS = 3
DOWNLOAD, UPLOAD = "download", "upload"
UPLOAD_VALID_S = 7200  # as on hosted projects


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signed URL's token says; `ends_s` is in Unix seconds, None when it never does."""

    ends_s: int | None
    owner: str | None
    upsert: bool


def caller_of(authorization: str | None, keys: ProjectKeys) -> Caller:
    """The caller; a token without a role is anon's. There is no leeway on times.

    Raises: StorageError.
    """
    if authorization is None:
        raise invalid_request("headers must have required property 'authorization'")
    token = authorization.removeprefix("Bearer ").strip()
    try:
        claims = keys.decode(token)
    except jwt.PyJWTError as error:
        raise denied(_words(token, error)) from None
    role = claims.get("role")
    return Caller(role if isinstance(role, str) and role else "anon", claims)


def sign_download(place: str, valid_s: int, keys: ProjectKeys) -> str:
    """A token that reads the object at `bucket/key`; the bytes may change under it."""
    return _signed({"url": place, "scope": DOWNLOAD}, valid_s, keys)


def sign_upload(place: str, owner: str | None, keys: ProjectKeys, *, upsert: bool) -> str:
    """A token that writes the object at `bucket/key` as its owner."""
    claims = {"url": place, "upsert": upsert, "scope": UPLOAD}
    return _signed({"owner": owner, **claims} if owner else claims, UPLOAD_VALID_S, keys)


def check_signed(token: str, place: str, scope: str, keys: ProjectKeys) -> Signed:
    """What the token allows.

    Raises: StorageError when it is none, has ended, or is for something else.
    """
    try:
        claims = keys.decode(token)
    except jwt.PyJWTError as error:
        raise StorageError("400", "InvalidJWT", _words(token, error), "InvalidJWT") from None
    # Those signed before there were scopes: only tokens for uploads say `upsert`.
    if claims.get("scope", UPLOAD if "upsert" in claims else DOWNLOAD) != scope:
        raise invalid_signature(f"Token is not scoped for {scope}")
    if claims.get("url") != place:
        raise invalid_signature()
    ends, owner = claims.get("exp"), claims.get("owner")
    return Signed(ends if isinstance(ends, int) else None, owner or None, bool(claims.get("upsert")))


def _signed(claims: dict[str, Any], valid_s: int, keys: ProjectKeys) -> str:
    now = int(time.time())
    # No `typ`, unlike the keys of the project: what is in a URL is kept short.
    times = {"iat": now, "exp": now + valid_s}
    return jwt.encode({**claims, **times}, keys.jwt_secret, algorithm=ALGORITHM, headers={"typ": None})


def _words(token: str, error: jwt.PyJWTError) -> str:
    if token.count(".") + 1 != PARTS:
        return "Invalid Compact JWS"
    if isinstance(error, jwt.ExpiredSignatureError):
        return '"exp" claim timestamp check failed'
    if isinstance(error, jwt.ImmatureSignatureError):
        return '"iat" claim timestamp check failed' if "iat" in str(error) else '"nbf" claim timestamp check failed'
    if isinstance(error, jwt.InvalidSignatureError):
        return "signature verification failed"
    if isinstance(error, jwt.InvalidAlgorithmError):
        return '"alg" (Algorithm) Header Parameter value not allowed'
    return "JWS Protected Header is invalid"

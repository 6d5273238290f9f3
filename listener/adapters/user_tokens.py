"""Whose a user's token is: checked here, with the keys that the project publishes or with its shared secret.

Knows JSON Web Tokens as Supabase Auth signs them; does not know what a user may do.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal
from uuid import UUID

import httpx
import jwt
from jwt.exceptions import InvalidKeyError, PyJWKError

from listener.api import User
from listener.errors import StoreUnavailable
from listener.ports import Clock

AUDIENCE = "authenticated"
ROLE = "authenticated"
PUBLISHED = frozenset({"ES256", "RS256", "EdDSA"})
"""What a published key may verify; a token that names another algorithm is no token, whatever its key."""
SHARED = "HS256"
LEEWAY_S = 5.0
KNOWN_FOR_S = 600.0
"""As long as Supabase's own edge keeps them."""
KEPT_FOR_S = 3600.0
"""How long known keys serve a project whose Auth does not answer."""
ASKED_EVERY_S = 10.0
"""A token with a key id that nobody knows costs at most one request in this time."""
READ_WITHIN_S = 5.0


class SigningKeys:
    """The public keys of a project, read again when they are old or one is unknown."""

    def __init__(self, url: str, http: httpx.AsyncClient, clock: Clock) -> None:
        self._url = f"{url.rstrip('/')}/auth/v1/.well-known/jwks.json"
        self._http = http
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None
        self._asked_at: float | None = None
        self._reading = asyncio.Lock()

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """The key of this id; None when the project has none. Raises: StoreUnavailable."""
        if not self._fresh(key_id):
            async with self._reading:
                if not self._fresh(key_id) and not self._since(self._asked_at, ASKED_EVERY_S):
                    await self._read()
        if self._since(self._read_at, KEPT_FOR_S):
            return self._keys.get(key_id)
        raise StoreUnavailable("the project's signing keys cannot be read")

    async def _read(self) -> None:
        self._asked_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                answer = await self._http.get(self._url)
            answer.raise_for_status()
            published = answer.json()["keys"]
            self._keys = {key.key_id: key for key in map(_usable, published) if key is not None and key.key_id}
            self._read_at = self._clock.monotonic()
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError):
            return  # what is known serves on for a while

    def _fresh(self, key_id: str) -> bool:
        return key_id in self._keys and self._since(self._read_at, KNOWN_FOR_S)

    def _since(self, moment: float | None, within_s: float) -> bool:
        return moment is not None and self._clock.monotonic() - moment < within_s


class UserTokens:
    """The TokenReader of a project; the secret is for those that still sign with one."""

    def __init__(self, keys: SigningKeys, secret: str | None) -> None:
        self._keys = keys
        self._secret = secret

    async def user(self, token: str) -> User | Literal["expired", "invalid"]:
        """Whose token it is.

        The issuer is not compared: behind a proxy it is another URL than ours, and only this project has these keys.
        Raises: StoreUnavailable.
        """
        try:
            key, algorithm = await self._key(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                leeway=LEEWAY_S,
                options={"require": ["exp", "aud", "sub"]},
            )
            if claims.get("role") != ROLE:
                return "invalid"
            return User(UUID(claims["sub"]), token)
        except jwt.ExpiredSignatureError:
            return "expired"
        except (jwt.PyJWTError, ValueError, TypeError):
            return "invalid"

    async def _key(self, header: dict[str, Any]) -> tuple[Any, str]:
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm == SHARED and self._secret is not None:
            return self._secret, SHARED
        if algorithm in PUBLISHED and isinstance(key_id, str):
            key = await self._keys.key(key_id)
            if key is not None and key.algorithm_name == algorithm:
                return key.key, algorithm
        raise InvalidKeyError


def _usable(published: Any) -> jwt.PyJWK | None:
    """A key that may verify tokens; what this program cannot read is another's."""
    try:
        key = jwt.PyJWK(published)
    except (PyJWKError, InvalidKeyError, ValueError, TypeError, AttributeError):
        return None
    return key if key.algorithm_name in PUBLISHED else None

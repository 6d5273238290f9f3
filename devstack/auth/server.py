"""The /auth/v1 routes: sign-up, tokens, the user, sign-out.

E-mails are not sent: an address counts as confirmed. What is not here answers 404 as an unknown route does.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import jwt
from aiohttp import web

from devstack.auth.accounts import Accounts, SignedIn
from devstack.auth.bearer import authorization
from devstack.auth.errors import AuthError
from devstack.tokens import ProjectKeys

PREFIX = "/auth/v1"
TOKEN_LIFE_S = 3600
SHORTEST_PASSWORD = 6
SCOPES = ("global", "local", "others")
LOG = logging.getLogger(__name__)
Answer = Callable[[web.Request], Awaitable[web.Response]]


class AuthServer:
    """supabase/auth's part of the stack."""

    def __init__(self, database_url: str, keys: ProjectKeys, kick: Callable[[], None]) -> None:
        self._database_url = database_url
        self._keys = keys
        self._kick = kick
        self._opened: Accounts | None = None

    def routes(self) -> list[web.AbstractRouteDef]:
        """Everything below /auth/v1."""
        return [
            web.post(f"{PREFIX}/signup", self._guarded(self._sign_up)),
            web.post(f"{PREFIX}/token", self._guarded(self._token)),
            web.get(f"{PREFIX}/user", self._guarded(self._user)),
            web.post(f"{PREFIX}/logout", self._guarded(self._sign_out)),
            web.get(f"{PREFIX}/settings", self._guarded(_settings)),
            web.get(f"{PREFIX}/health", self._guarded(_health)),
            web.get(f"{PREFIX}/.well-known/jwks.json", self._guarded(_jwks)),
        ]

    async def start(self) -> None:
        """Connect to the database."""
        self._opened = await Accounts.open(self._database_url)

    async def close(self) -> None:
        """Let go of the database."""
        if self._opened is not None:
            await self._opened.close()

    @property
    def _accounts(self) -> Accounts:
        if self._opened is None:
            raise RuntimeError("start() comes first")
        return self._opened

    def _guarded(self, answer: Answer) -> Answer:
        async def guarded(http: web.Request) -> web.Response:
            try:
                response = await answer(http)
            except AuthError as error:
                return error.response(http)
            except (asyncpg.PostgresError, OSError):
                LOG.exception("sign-in failed in the database")
                return AuthError(500, "unexpected_failure", "Database error").response(http)
            if http.method != "GET":
                self._kick()
            return response

        return guarded

    async def _sign_up(self, http: web.Request) -> web.Response:
        body = await _json(http)
        metadata = body.get("data") or {}
        if not isinstance(metadata, dict):
            raise AuthError(400, "bad_json", "data must be an object")
        if not body.get("email") and not body.get("password") and not body.get("phone"):
            return self._session(http, await self._accounts.sign_up_anonymously(metadata))
        email, password = _credentials(body)
        if len(password) < SHORTEST_PASSWORD:
            text = f"Password should be at least {SHORTEST_PASSWORD} characters."
            raise AuthError(422, "weak_password", text, {"weak_password": {"reasons": ["length"]}})
        return self._session(http, await self._accounts.sign_up(email, password, metadata))

    async def _token(self, http: web.Request) -> web.Response:
        body = await _json(http)
        match http.query.get("grant_type"):
            case "password":
                return self._session(http, await self._accounts.sign_in(*_credentials(body)))
            case "refresh_token":
                token = body.get("refresh_token")
                if not isinstance(token, str) or not token:
                    raise AuthError(400, "validation_failed", "refresh_token required")
                return self._session(http, await self._accounts.refresh(token))
        raise AuthError(400, "invalid_grant", "unsupported_grant_type")

    async def _user(self, http: web.Request) -> web.Response:
        claims = self._claims(http)
        user = await self._accounts.user(claims["sub"], claims["session_id"])
        if user is None:
            text = "Session from session_id claim in JWT does not exist"
            raise AuthError(403, "session_not_found", text)
        return web.json_response(_user_json(user))

    async def _sign_out(self, http: web.Request) -> web.Response:
        scope = http.query.get("scope", "global")
        if scope not in SCOPES:
            raise AuthError(400, "validation_failed", f"Unsupported logout scope: {scope}")
        claims = self._claims(http)
        await self._accounts.sign_out(claims["sub"], claims["session_id"], scope)
        return web.Response(status=204)

    def _claims(self, http: web.Request) -> dict[str, Any]:
        """The caller's claims, those of a user with a session.

        Raises: AuthError.
        """
        scheme, _, token = (authorization(http) or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        try:
            claims = self._keys.decode(token)
        except jwt.PyJWTError as error:
            text = f"invalid JWT: unable to parse or verify signature, {error}"
            raise AuthError(403, "bad_jwt", text) from None
        for name in ("sub", "session_id"):
            if not _is_uuid(claims.get(name)):
                raise AuthError(403, "bad_jwt", f"invalid claim: missing {name} claim")
        return claims

    def _session(self, http: web.Request, signed_in: SignedIn) -> web.Response:
        user, now = _user_json(signed_in.user), int(time.time())
        claims = {
            "iss": f"http://{http.host}{PREFIX}",
            "sub": user["id"],
            "aud": "authenticated",
            "role": "authenticated",
            "email": user["email"],
            "phone": user["phone"],
            "app_metadata": user["app_metadata"],
            "user_metadata": user["user_metadata"],
            "aal": "aal1",
            "amr": [{"method": signed_in.method, "timestamp": now}],
            "session_id": signed_in.session_id,
            "is_anonymous": user["is_anonymous"],
        }
        return web.json_response(
            {
                "access_token": self._keys.mint(claims, TOKEN_LIFE_S),
                "token_type": "bearer",
                "expires_in": TOKEN_LIFE_S,
                "expires_at": now + TOKEN_LIFE_S,
                "refresh_token": signed_in.refresh_token,
                "user": user,
            }
        )


async def _settings(_http: web.Request) -> web.Response:
    external = {"anonymous_users": True, "email": True, "phone": False}
    return web.json_response({"external": external, "disable_signup": False, "mailer_autoconfirm": True})


async def _health(_http: web.Request) -> web.Response:
    return web.json_response({"version": "devstack", "name": "GoTrue", "description": "the embedded stack's sign-in"})


async def _jwks(_http: web.Request) -> web.Response:
    # A project that signs with a shared secret publishes no key.
    return web.json_response({"keys": []})


async def _json(http: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await http.text() or "{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return body


def _credentials(body: dict[str, Any]) -> tuple[str, str]:
    email, password = body.get("email"), body.get("password")
    if body.get("phone"):
        raise AuthError(400, "phone_provider_disabled", "Phone logins are disabled")
    if not isinstance(email, str) or "@" not in email:
        text = "Unable to validate email address: invalid format"
        raise AuthError(400, "validation_failed", text)
    if not isinstance(password, str) or not password:
        raise AuthError(400, "validation_failed", "Signup requires a valid password")
    return email.lower(), password


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False


def _user_json(user: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": str(user["id"]),
        "aud": user["aud"],
        "role": user["role"],
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "email_confirmed_at": _time(user["email_confirmed_at"]),
        "last_sign_in_at": _time(user["last_sign_in_at"]),
        "app_metadata": json.loads(user["raw_app_meta_data"] or "{}"),
        "user_metadata": json.loads(user["raw_user_meta_data"] or "{}"),
        "identities": [],
        "created_at": _time(user["created_at"]),
        "updated_at": _time(user["updated_at"]),
        "is_anonymous": user["is_anonymous"],
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")

"""The /auth/v1 routes: sign-up, tokens, the user, sign-out, the keys that verify tokens.

E-mails are not sent: an address counts as confirmed. What is not here answers 404 as an unknown route does.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import jwt
from aiohttp import web

from devstack.auth.accounts import Accounts, SignedIn
from devstack.auth.asked import change, new_account, read_body, returning
from devstack.auth.bearer import authorization
from devstack.auth.errors import AuthError, OAuthError, wrong
from devstack.auth.sessions import ENDED
from devstack.auth.shapes import session_json, user_json
from devstack.faults import Faults
from devstack.tokens import ProjectKeys

PREFIX = "/auth/v1"
LOG = logging.getLogger(__name__)
Answer = Callable[[web.Request], Awaitable[web.Response]]


class AuthServer:
    """supabase/auth's part of the stack."""

    def __init__(self, database_url: str, keys: ProjectKeys, faults: Faults, kick: Callable[[], None]) -> None:
        self._database_url = database_url
        self._keys = keys
        self._faults = faults
        self._kick = kick
        self._opened: Accounts | None = None

    def routes(self) -> list[web.AbstractRouteDef]:
        """Everything below /auth/v1."""
        return [
            web.post(f"{PREFIX}/signup", self._guarded(self._sign_up)),
            web.post(f"{PREFIX}/token", self._guarded(self._token)),
            web.get(f"{PREFIX}/user", self._guarded(self._user)),
            web.put(f"{PREFIX}/user", self._guarded(self._change_user)),
            web.post(f"{PREFIX}/logout", self._guarded(self._sign_out)),
            web.get(f"{PREFIX}/settings", self._guarded(_settings)),
            web.get(f"{PREFIX}/health", self._guarded(_health)),
            web.get(f"{PREFIX}/.well-known/jwks.json", self._guarded(self._jwks)),
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
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                LOG.exception("sign-in failed in the database")
                return AuthError(500, "unexpected_failure", "Database error").response(http)
            if http.method != "GET":
                self._kick()
            return response

        return guarded

    async def _sign_up(self, http: web.Request) -> web.Response:
        body = await read_body(http)
        who, metadata = new_account(body), body.get("data") or {}
        if who is None:
            return self._session(http, await self._accounts.sign_up_anonymously(metadata))
        return self._session(http, await self._accounts.sign_up(who, metadata))

    async def _token(self, http: web.Request) -> web.Response:
        match http.query.get("grant_type"):
            case "password":
                return self._session(http, await self._accounts.sign_in(returning(await read_body(http))))
            case "refresh_token":
                token = (await read_body(http)).get("refresh_token")
                if not token:
                    raise OAuthError(400, "invalid_request", "refresh_token required")
                return self._session(http, await self._accounts.refresh(token))
        raise wrong("unsupported_grant_type", "invalid_credentials")

    async def _user(self, http: web.Request) -> web.Response:
        return web.json_response(user_json(await self._accounts.account(*self._caller(http))))

    async def _change_user(self, http: web.Request) -> web.Response:
        user_id, session_id = self._caller(http)
        account = await self._accounts.account(user_id, session_id)
        wanted = change(await read_body(http))
        return web.json_response(user_json(await self._accounts.update(account, session_id, wanted)))

    async def _sign_out(self, http: web.Request) -> web.Response:
        scope = http.query.get("scope") or "global"
        if scope not in ENDED:
            raise wrong(f'Unsupported logout scope "{scope}"')
        user_id, session_id = self._caller(http)
        await self._accounts.account(user_id, session_id)
        await self._accounts.sign_out(user_id, session_id, scope)
        return web.Response(status=204)

    async def _jwks(self, _http: web.Request) -> web.Response:
        cached = {"Cache-Control": "public, max-age=600"}
        return web.json_response({"keys": [self._keys.signing_key.public()]}, headers=cached)

    def _caller(self, http: web.Request) -> tuple[UUID, UUID | None]:
        """The user and the session that a token names.

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
        if not claims.get("sub"):
            raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
        session_id = claims.get("session_id")
        return _uuid(claims, "sub"), _uuid(claims, "session_id") if session_id else None

    def _session(self, http: web.Request, signed_in: SignedIn) -> web.Response:
        issuer = f"http://{http.host}{PREFIX}"
        return web.json_response(session_json(signed_in, self._keys, issuer, self._faults.token_life_s))


async def _settings(_http: web.Request) -> web.Response:
    external = {"anonymous_users": True, "email": True, "phone": False}
    return web.json_response({"external": external, "disable_signup": False, "mailer_autoconfirm": True})


async def _health(_http: web.Request) -> web.Response:
    return web.json_response({"version": "devstack", "name": "GoTrue", "description": "the embedded stack's sign-in"})


def _uuid(claims: dict[str, Any], name: str) -> UUID:
    try:
        return UUID(claims[name])
    except (ValueError, TypeError, AttributeError):
        raise wrong(f"invalid claim: {name} claim must be a UUID", "bad_jwt") from None

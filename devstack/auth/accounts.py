"""Users, sessions and refresh tokens in the database; knows nothing of HTTP or JWTs."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg

from devstack.auth.errors import AuthError
from devstack.auth.passwords import hash_password, is_password

MOST_CONNECTIONS = 4
# A token used twice within this time gives its successor again: two tabs refresh at once.
REUSE_INTERVAL_S = 10
INSERT_USER = """
insert into auth.users (
  id, instance_id, aud, role, email, encrypted_password, email_confirmed_at, last_sign_in_at,
  raw_app_meta_data, raw_user_meta_data, is_anonymous, created_at, updated_at
)
values (
  $1, '00000000-0000-0000-0000-000000000000', 'authenticated', 'authenticated', $2::text, $3,
  case when $2::text is not null then now() end, now(), $4::text::jsonb, $5::text::jsonb, $2::text is null, now(), now()
)
returning *
"""
ADD_REFRESH = """
insert into auth.refresh_tokens (token, user_id, session_id, parent) values ($1, $2, $3, $4)
"""
USER_OF_SESSION = """
select users.* from auth.users as users
where users.id = $1 and exists (select from auth.sessions where id = $2 and user_id = $1)
"""
PRESENTED = """
select refresh_token.*, refresh_token.updated_at > now() - make_interval(secs => $2) as used_just_now
from auth.refresh_tokens as refresh_token where token = $1 for update
"""
SUCCESSOR = "select token from auth.refresh_tokens where session_id = $1 and not revoked order by id desc limit 1"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user with a session and the token that prolongs it."""

    user: asyncpg.Record
    session_id: str
    refresh_token: str
    method: str


class Accounts:
    """What sign-in stores; every method is one transaction."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, database_url: str) -> Accounts:
        """Connect as the owner of these tables, so that triggers on them have the rights of production."""
        settings = {"role": "supabase_auth_admin", "application_name": "auth (devstack)", "timezone": "UTC"}
        pool = await asyncpg.create_pool(database_url, min_size=0, max_size=MOST_CONNECTIONS, server_settings=settings)
        return cls(pool)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def sign_up_anonymously(self, metadata: dict[str, Any]) -> SignedIn:
        """Make a user without e-mail."""
        return await self._sign_up(None, None, {}, metadata)

    async def sign_up(self, email: str, password: str, metadata: dict[str, Any]) -> SignedIn:
        """Make a user; the e-mail counts as confirmed.

        Raises: AuthError when the e-mail is taken.
        """
        hashed = await asyncio.to_thread(hash_password, password)
        try:
            return await self._sign_up(email, hashed, {"provider": "email", "providers": ["email"]}, metadata)
        except asyncpg.UniqueViolationError:
            raise AuthError(422, "user_already_exists", "User already registered") from None

    async def sign_in(self, email: str, password: str) -> SignedIn:
        """Open a session with a password.

        Raises: AuthError; the same for an unknown user and a wrong password.
        """
        user = await self._pool.fetchrow("select * from auth.users where lower(email) = lower($1)", email)
        stored = user["encrypted_password"] if user is not None else None
        if not await asyncio.to_thread(is_password, password, stored) or user is None:
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        async with self._pool.acquire() as connection, connection.transaction():
            update = "update auth.users set last_sign_in_at = now(), updated_at = now() where id = $1 returning *"
            fresh = await connection.fetchrow(update, user["id"])
            return await _open_session(connection, fresh or user, "password")

    async def refresh(self, token: str) -> SignedIn:
        """Exchange a refresh token for the next one; each works once.

        Raises: AuthError.
        Locks: the token's row.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            presented = await connection.fetchrow(PRESENTED, token, REUSE_INTERVAL_S)
            if presented is None:
                text = "Invalid Refresh Token: Refresh Token Not Found"
                raise AuthError(400, "refresh_token_not_found", text)
            successor = None
            if presented["revoked"]:
                successor = await connection.fetchval(SUCCESSOR, presented["session_id"])
                if successor is None or not presented["used_just_now"]:
                    raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
            user = await connection.fetchrow("select * from auth.users where id = $1", presented["user_id"])
            if user is None:
                raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
            if successor is None:
                successor = await _rotate(connection, presented)
            return SignedIn(user, str(presented["session_id"]), successor, "token_refresh")

    async def user(self, user_id: str, session_id: str) -> asyncpg.Record | None:
        """The user, as long as the session lives."""
        return await self._pool.fetchrow(USER_OF_SESSION, user_id, session_id)

    async def sign_out(self, user_id: str, session_id: str, scope: str) -> None:
        """End this session, the others, or all."""
        condition = {"local": "and id = $2", "others": "and id <> $2", "global": "and $2::uuid is not null"}[scope]
        await self._pool.execute(f"delete from auth.sessions where user_id = $1 {condition}", user_id, session_id)  # noqa: S608

    async def _sign_up(
        self, email: str | None, hashed: str | None, app_metadata: dict[str, Any], metadata: dict[str, Any]
    ) -> SignedIn:
        async with self._pool.acquire() as connection, connection.transaction():
            told = json.dumps(app_metadata), json.dumps(metadata)
            user = await connection.fetchrow(INSERT_USER, uuid4(), email, hashed, *told)
            if user is None:
                raise AssertionError("insert returning gives a row")
            return await _open_session(connection, user, "password" if email else "anonymous")


async def _open_session(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], user: asyncpg.Record, method: str
) -> SignedIn:
    session_id, token = uuid4(), _new_token()
    await connection.execute("insert into auth.sessions (id, user_id) values ($1, $2)", session_id, user["id"])
    await connection.execute(ADD_REFRESH, token, user["id"], session_id, None)
    return SignedIn(user, str(session_id), token, method)


async def _rotate(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], presented: asyncpg.Record) -> str:
    token = _new_token()
    revoke = "update auth.refresh_tokens set revoked = true, updated_at = now() where id = $1"
    await connection.execute(revoke, presented["id"])
    await connection.execute(ADD_REFRESH, token, presented["user_id"], presented["session_id"], presented["token"])
    await connection.execute("update auth.sessions set refreshed_at = now() where id = $1", presented["session_id"])
    return token


def _new_token() -> str:
    return secrets.token_urlsafe(16)

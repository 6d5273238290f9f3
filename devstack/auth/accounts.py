"""Users, their identities and sessions, one transaction a method; knows nothing of HTTP or JWTs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from devstack.auth.asked import Change, Credentials
from devstack.auth.errors import AuthError
from devstack.auth.passwords import hash_password, is_password
from devstack.auth.sessions import Opened, end_sessions, open_session, refresh_session

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

MOST_CONNECTIONS = 4
INSERT_USER = """
insert into auth.users (
  id, instance_id, aud, role, email, encrypted_password, email_confirmed_at, last_sign_in_at,
  raw_app_meta_data, raw_user_meta_data, is_anonymous, created_at, updated_at
)
values (
  $1, '00000000-0000-0000-0000-000000000000', 'authenticated', 'authenticated', $2::text, $3,
  case when $2::text is not null then now() end, now(), $4::text::jsonb, $5::text::jsonb, $2::text is null, now(), now()
)
"""
INSERT_IDENTITY = """
insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
values ($1::uuid::text, $1::uuid, $2::text::jsonb, 'email', now(), now(), now())
"""
SIGNED_IN = "update auth.users set last_sign_in_at = now(), updated_at = now() where id = $1"
SET_EMAIL = """
update auth.users
set email = $2, email_confirmed_at = now(), is_anonymous = false, updated_at = now(),
  raw_app_meta_data = coalesce(raw_app_meta_data, '{}') || $3::text::jsonb
where id = $1
"""
NEW_HASH = "update auth.users set encrypted_password = $2, updated_at = now() where id = $1"
MERGE_METADATA = """
update auth.users
set raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || $2::text::jsonb, updated_at = now()
where id = $1
"""
FORGET_METADATA = "update auth.users set raw_user_meta_data = raw_user_meta_data - $2::text[] where id = $1"
BY_EMAIL = {"provider": "email", "providers": ["email"]}


@dataclass(frozen=True, slots=True)
class Account:
    """A user and the identities by which he may sign in."""

    user: asyncpg.Record
    identities: list[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user with a session."""

    account: Account
    session: Opened


class Accounts:
    """What sign-in stores."""

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
        async with self._pool.acquire() as connection, connection.transaction():
            user_id = uuid4()
            await connection.execute(INSERT_USER, user_id, None, None, "{}", json.dumps(metadata))
            session = await open_session(connection, user_id, "anonymous")
            return SignedIn(await _account(connection, user_id), session)

    async def sign_up(self, who: Credentials, metadata: dict[str, Any]) -> SignedIn:
        """Make a user; the e-mail counts as confirmed.

        Raises: AuthError when the e-mail is taken.
        """
        hashed = await asyncio.to_thread(hash_password, who.password)
        user_id = uuid4()
        told = {**metadata, **_identity(user_id, who.email)}
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                app, own = json.dumps(BY_EMAIL), json.dumps({**told, "email_verified": True})
                await connection.execute(INSERT_USER, user_id, who.email, hashed, app, own)
                await connection.execute(INSERT_IDENTITY, user_id, json.dumps(told))
                session = await open_session(connection, user_id, "password")
                return SignedIn(await _account(connection, user_id), session)
        except asyncpg.UniqueViolationError:
            raise AuthError(422, "user_already_exists", "User already registered") from None

    async def sign_in(self, who: Credentials) -> SignedIn:
        """Open a session with a password.

        Raises: AuthError; the same for an unknown user and a wrong password.
        """
        user = await self._pool.fetchrow("select * from auth.users where lower(email) = $1", who.email)
        stored = user["encrypted_password"] if user is not None else None
        if not await asyncio.to_thread(is_password, who.password, stored) or user is None:
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        async with self._pool.acquire() as connection, connection.transaction():
            await _refuse_banned(connection, user["id"], AuthError(400, "user_banned", "User is banned"))
            await connection.execute(SIGNED_IN, user["id"])
            session = await open_session(connection, user["id"], "password")
            return SignedIn(await _account(connection, user["id"]), session)

    async def refresh(self, token: str) -> SignedIn:
        """Exchange a refresh token for the next one; each works once.

        Raises: AuthError.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            session = await refresh_session(connection, token)
            if isinstance(session, Opened):
                banned = AuthError(400, "user_banned", "Invalid Refresh Token: User Banned")
                await _refuse_banned(connection, session.user_id, banned)
                return SignedIn(await _account(connection, session.user_id), session)
        # Raised after the commit: what a reuse has revoked stays revoked.
        raise AuthError(400, session.code, session.message)

    async def account(self, user_id: UUID, session_id: UUID | None) -> Account:
        """The user of a token.

        Raises: AuthError when he or the token's session is gone.
        """
        async with self._pool.acquire() as connection:
            account = await _account(connection, user_id)
            alive = "select exists (select from auth.sessions where id = $1 and user_id = $2)"
            if session_id is not None and not await connection.fetchval(alive, session_id, user_id):
                raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
            return account

    async def update(self, account: Account, session_id: UUID | None, change: Change) -> Account:
        """Change a user; a new password ends his other sessions.

        Raises: AuthError.
        """
        user, hashed = account.user, None
        _check_change(user, change)
        if change.password:
            if await asyncio.to_thread(is_password, change.password, user["encrypted_password"]):
                text = "New password should be different from the old password."
                raise AuthError(422, "same_password", text)
            hashed = await asyncio.to_thread(hash_password, change.password)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                if change.password is not None:
                    await connection.execute(NEW_HASH, user["id"], hashed)
                    scope = "others" if session_id is not None else "global"
                    await end_sessions(connection, user["id"], session_id, scope)
                if change.metadata is not None:
                    await _merge(connection, user["id"], change.metadata)
                if change.email not in (None, user["email"]):
                    await connection.execute(SET_EMAIL, user["id"], change.email, json.dumps(BY_EMAIL))
                    told = _identity(user["id"], change.email or "")
                    await connection.execute(INSERT_IDENTITY, user["id"], json.dumps(told))
                return await _account(connection, user["id"])
        except asyncpg.UniqueViolationError:
            text = "A user with this email address has already been registered"
            raise AuthError(422, "email_exists", text) from None

    async def sign_out(self, user_id: UUID, session_id: UUID | None, scope: str) -> None:
        """End this session, the others, or all."""
        async with self._pool.acquire() as connection, connection.transaction():
            await end_sessions(connection, user_id, session_id, scope)


async def _account(connection: Connection, user_id: UUID) -> Account:
    user = await connection.fetchrow("select * from auth.users where id = $1", user_id)
    if user is None:
        raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
    found = await connection.fetch("select * from auth.identities where user_id = $1 order by created_at", user_id)
    return Account(user, found)


async def _refuse_banned(connection: Connection, user_id: UUID, refusal: AuthError) -> None:
    if await connection.fetchval("select banned_until > now() from auth.users where id = $1", user_id):
        raise refusal


async def _merge(connection: Connection, user_id: UUID, metadata: dict[str, Any]) -> None:
    """Top-level keys are replaced, null takes one away."""
    kept = {name: value for name, value in metadata.items() if value is not None}
    gone = [name for name in metadata if name not in kept]
    await connection.execute(MERGE_METADATA, user_id, json.dumps(kept))
    await connection.execute(FORGET_METADATA, user_id, gone)


def _check_change(user: asyncpg.Record, change: Change) -> None:
    if change.email not in (None, user["email"]) and not user["is_anonymous"]:
        # A confirmed address changes only by a mail, and nobody here sends one.
        raise AuthError(500, "unexpected_failure", "Error sending email change email")
    if user["is_anonymous"] and change.password and not change.email:
        text = "Updating password of an anonymous user without an email or phone is not allowed"
        raise AuthError(422, "validation_failed", text)


def _identity(user_id: UUID, email: str) -> dict[str, Any]:
    return {"sub": str(user_id), "email": email, "email_verified": False, "phone_verified": False}

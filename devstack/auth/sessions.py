"""Sessions and their refresh tokens in the database; every function runs in its caller's transaction.

Source: supabase/auth, internal/tokens: a token is exchanged once, its parent gives the current one again, any other
used one is let pass for ten seconds, and after that all of the session's tokens are revoked.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias
from uuid import UUID, uuid4

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

REUSE_INTERVAL_S = 10
OPEN = """
with opened as (insert into auth.sessions (id, user_id) values ($1, $2) returning id)
insert into auth.mfa_amr_claims (session_id, authentication_method) select opened.id, $3 from opened
"""
ISSUE = "insert into auth.refresh_tokens (token, user_id, session_id, parent) values ($1, $2, $3, $4)"
PRESENTED = """
select refresh_token.*, refresh_token.updated_at >= now() - make_interval(secs => $2) as was_used_just_now
from auth.refresh_tokens as refresh_token where token = $1 for update
"""
ACTIVE = """
select token, parent from auth.refresh_tokens where session_id = $1 and not revoked order by id desc limit 1
"""
REVOKE = "update auth.refresh_tokens set revoked = true, updated_at = now() where"
METHODS = """
select authentication_method as method, extract(epoch from updated_at)::bigint as timestamp
from auth.mfa_amr_claims where session_id = $1 order by updated_at desc
"""
ENDED = {"local": "and id = $2", "others": "and id <> $2", "global": "and ($2::uuid is null or true)"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, the token that prolongs it, and how it was opened."""

    id: UUID
    user_id: UUID
    refresh_token: str
    methods: list[dict[str, object]]


class Refused(Enum):
    """Why a refresh token is not exchanged."""

    NOT_FOUND = ("refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
    USED = ("refresh_token_already_used", "Invalid Refresh Token: Already Used")

    @property
    def code(self) -> str:
        """The stable name."""
        return self.value[0]

    @property
    def message(self) -> str:
        """The text."""
        return self.value[1]


async def open_session(connection: Connection, user_id: UUID, method: str) -> Opened:
    """Begin a session."""
    session_id, token = uuid4(), _new_token()
    await connection.execute(OPEN, session_id, user_id, method)
    await connection.execute(ISSUE, token, user_id, session_id, None)
    return Opened(session_id, user_id, token, await _methods(connection, session_id))


async def refresh_session(connection: Connection, token: str) -> Opened | Refused:
    """Exchange a refresh token for the next one; a reuse revokes the session's tokens, which must be committed.

    Locks: the token's row.
    """
    presented = await connection.fetchrow(PRESENTED, token, REUSE_INTERVAL_S)
    if presented is None:
        return Refused.NOT_FOUND
    session_id: UUID = presented["session_id"]
    issued = None
    if presented["revoked"]:
        active = await connection.fetchrow(ACTIVE, session_id)
        if active is not None and active["parent"] == token:
            issued = active["token"]  # the client could not keep the answer of its last refresh
        elif not presented["was_used_just_now"]:
            await connection.execute(f"{REVOKE} session_id = $1 and not revoked", session_id)
            return Refused.USED
    if issued is None:
        issued = _new_token()
        await connection.execute(f"{REVOKE} id = $1", presented["id"])
        await connection.execute(ISSUE, issued, presented["user_id"], session_id, token)
    await connection.execute("update auth.sessions set refreshed_at = now() where id = $1", session_id)
    return Opened(session_id, presented["user_id"], issued, await _methods(connection, session_id))


async def end_sessions(connection: Connection, user_id: UUID, session_id: UUID | None, scope: str) -> None:
    """End this session, the others, or all."""
    condition = ENDED[scope if session_id is not None else "global"]
    await connection.execute(f"delete from auth.sessions where user_id = $1 {condition}", user_id, session_id)  # noqa: S608


async def _methods(connection: Connection, session_id: UUID) -> list[dict[str, object]]:
    return [dict(row) for row in await connection.fetch(METHODS, session_id)]


def _new_token() -> str:
    return secrets.token_urlsafe(9)  # twelve characters, as the real ones

"""Runs SQL as the role and with the claims of whoever sent a request, as PostgREST and Storage do.

Knows nothing of HTTP, and nothing of which statements run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import asyncpg

from devstack.postgres.prepare import login_dsn

Session: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# What a role may set for itself, per role: statement timeouts above all.
ROLE_SETTINGS = """
select role.rolname as role, split_part(entry, '=', 1) as name, substr(entry, strpos(entry, '=') + 1) as value
from pg_catalog.pg_db_role_setting as of_role
join pg_catalog.pg_roles as role on role.oid = of_role.setrole
cross join lateral unnest(of_role.setconfig) as entry
join pg_catalog.pg_settings as known on known.name = split_part(entry, '=', 1) and known.context = 'user'
where of_role.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
order by of_role.setdatabase
"""
CLOSE_LIMIT_S = 2.0
ACQUIRE_LIMIT_S = 10.0  # as PostgREST's pool
# Row by row, in order: the role first, what follows is set by that role.
APPLY = "select set_config(name, value, true) from unnest($1::text[], $2::text[]) as _(name, value)"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, after the token was checked."""

    role: str
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str | None:
        """The user's id, where the token names one."""
        subject = self.claims.get("sub")
        return subject if isinstance(subject, str) else None


# Bypasses row level security: what a service does on its own account.
SERVICE = Caller("service_role", {"role": "service_role"})


class Database:
    """A pool of connections that log in as `authenticator` and become the caller for one transaction."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self.pool = pool
        self._role_settings: dict[str, dict[str, str]] | None = None

    @classmethod
    async def open(cls, database_url: str) -> Self:
        """Connect; `database_url` is the superuser's, from which the authenticator's password follows."""
        pool = await asyncpg.create_pool(
            login_dsn(database_url, "authenticator"),
            min_size=1,
            max_size=20,
            reset=_keep_session,
            # An empty search_path makes the catalogue write every type with its schema; requests set their own.
            server_settings={"application_name": "PostgREST (devstack)", "search_path": ""},
        )
        return cls(pool)

    async def close(self) -> None:
        """Close every connection, those too that still work after a grace."""
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()

    def forget(self) -> None:
        """Read again what `alter role ... set` says when it is next needed."""
        self._role_settings = None

    @asynccontextmanager
    async def acting_as(
        self, caller: Caller, settings: Mapping[str, str] | None = None, *, read_only: bool = False
    ) -> AsyncIterator[Session]:
        """One transaction as the caller, committed at the end of the block, rolled back on any exception.

        Raises: asyncpg.PostgresError, the COMMIT's too (22023 when the role does not exist); OSError when none is free.
        """
        async with self.pool.acquire(timeout=ACQUIRE_LIMIT_S) as connection, connection.transaction(readonly=read_only):
            await self.become(connection, caller, settings)
            yield connection

    async def become(self, connection: Session, caller: Caller, settings: Mapping[str, str] | None = None) -> None:
        """Go on as the caller for the rest of the transaction."""
        applied = {
            "role": caller.role,
            "request.jwt.claims": json.dumps(caller.claims, separators=(",", ":")),
            **(await self._settings_of(caller.role)),
            **(settings or {}),
        }
        await connection.fetch(APPLY, list(applied), list(applied.values()))

    async def _settings_of(self, role: str) -> dict[str, str]:
        settings = self._role_settings
        if settings is None:
            settings = {}
            for row in await self.pool.fetch(ROLE_SETTINGS):
                settings.setdefault(row["role"], {})[row["name"]] = row["value"]
            self._role_settings = settings
        return settings.get(role, {})


async def _keep_session(_connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # Everything is set for one transaction only, so RESET ALL after each request would buy nothing.
    return

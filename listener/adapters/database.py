"""The few commands that need PostgreSQL itself: bring in the migrations, adopt a table. A worker never connects here.

Knows asyncpg and the Supabase CLI's table of applied migrations; does not know where the files come from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

from listener.errors import ConfigError, StoreRejected, StoreUnavailable
from listener.shipped import Migration

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
CONNECT_S = 15.0
# As the Supabase CLI makes it (pkg/migration/history.go), so that either may go on where the other stopped.
HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
# Two at once would both find a migration missing; the number is ours alone.
ONE_AT_A_TIME = "select pg_advisory_xact_lock(5072026112010)"
NEEDED = """
select word from (values
  ('role service_role', to_regrole('service_role') is not null),
  ('role authenticated', to_regrole('authenticated') is not null),
  ('role anon', to_regrole('anon') is not null),
  ('function auth.uid()', to_regprocedure('auth.uid()') is not null),
  ('table storage.buckets', to_regclass('storage.buckets') is not null),
  ('publication supabase_realtime', exists (select from pg_publication where pubname = 'supabase_realtime'))
) as needed (word, found) where not found
"""


class Database:
    """One connection to a project's database. Raises: StoreRejected with PostgreSQL's own words, rolled back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def missing(self) -> list[str]:
        """What a Supabase project has and this database has not."""
        return [row["word"] for row in await self._connection.fetch(NEEDED)]

    async def apply(self, migrations: Sequence[Migration]) -> list[Migration]:
        """Apply what is not recorded, in order, each in a transaction of its own with its record."""
        await self._connection.execute(HISTORY)
        applied = [migration for migration in migrations if await self._applied_now(migration)]
        await self._connection.execute("notify pgrst, 'reload schema'")
        return applied

    async def value(self, statement: str, *, kept: bool) -> Any:
        """Run one statement in a transaction that is kept or rolled back; its one value."""
        with _worded("nothing was changed"):
            transaction = self._connection.transaction()
            await transaction.start()
            try:
                value = await self._connection.fetchval(statement)
            except BaseException:
                await transaction.rollback()
                raise
            await (transaction.commit() if kept else transaction.rollback())
            return value

    async def _applied_now(self, migration: Migration) -> bool:
        with _worded(f"{migration.file} was rolled back"):
            async with self._connection.transaction():
                await self._connection.execute(ONE_AT_A_TIME)
                known = await self._connection.fetchval(
                    "select 1 from supabase_migrations.schema_migrations where version = $1", migration.version
                )
                if known:
                    return False
                # A lock that others hold must not make everybody wait behind us.
                await self._connection.execute("set local lock_timeout = '20s'")
                await self._connection.execute(migration.text)
                await self._connection.execute(
                    "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    [migration.text],
                )
        return True


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Connect to a `postgresql://` URL; to anything but this machine only with TLS, unless the URL says otherwise.

    Raises: ConfigError without asyncpg or for a URL that is none, StoreUnavailable, StoreRejected.
    """
    try:
        import asyncpg  # noqa: PLC0415 - workers do without it
    except ImportError:
        raise ConfigError("a database connection needs asyncpg: pip install 'listener[migrate]'") from None
    host, tls = _place(url)
    try:
        # No statement cache: the transaction pooler of a hosted project has no prepared statements.
        connection = await asyncpg.connect(url, timeout=CONNECT_S, statement_cache_size=0, ssl=tls)
    except (OSError, TimeoutError) as error:
        raise StoreUnavailable(f"no connection to {host}: {type(error).__name__} {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise StoreRejected(f"no connection to {host}: {error}") from error
    try:
        yield Database(connection)
    finally:
        await connection.close()


def _place(url: str) -> tuple[str, Literal["require"] | None]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 5432
    except ValueError:
        raise ConfigError("DATABASE_URL is no URL") from None
    if parts.scheme not in {"postgres", "postgresql"} or not host:
        raise ConfigError("DATABASE_URL must be postgresql://user:password@host:port/database")
    open_choice = host in LOCAL or "sslmode" in parse_qs(parts.query)
    return f"{host}:{port}", None if open_choice else "require"


@contextmanager
def _worded(what: str) -> Iterator[None]:
    import asyncpg  # noqa: PLC0415 - see above

    try:
        yield
    except asyncpg.PostgresError as error:
        raise StoreRejected(f"{what}: {error.sqlstate} {error}") from error
    except (OSError, asyncpg.InterfaceError) as error:
        raise StoreUnavailable(f"{what}: {type(error).__name__} {error}") from error

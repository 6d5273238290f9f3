"""Makes an empty database a Supabase one: roles, schemas, publication, then the project's migrations.

Knows nothing of the services that use it, nor of what the migrations hold.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

import devstack
from devstack.postgres.password import derived_password, login_dsn, scram_verifier

__all__ = ["MIGRATIONS", "MigrationError", "login_dsn", "prepare_database"]

LOGINS = ("authenticator", "postgres")
BOOTSTRAP = Path(__file__).parent / "bootstrap"
_AROUND = Path(devstack.__file__).parent.parent
_INSTALLED, _CHECKOUT = _AROUND / "listener" / "migrations", _AROUND / "supabase" / "migrations"
MIGRATIONS = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""In an installed wheel beside the worker's code, in a checkout where the Supabase CLI looks."""


class MigrationError(RuntimeError):
    """A migration was rolled back; the text names the file and PostgreSQL's reason."""


async def prepare_database(dsn: str, *, migrate: bool = True, migrations: Path = MIGRATIONS) -> None:
    """Bring a database to the state a hosted project has; running it again changes nothing.

    The migrations run as `postgres`, who is no superuser unless `dsn` says so.
    Raises: MigrationError.
    Locks: pg_authid for the bootstrap, because two databases of a cluster share their roles.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await _bootstrap(connection, dsn)
    finally:
        await connection.close()
    if migrate:
        connection = await asyncpg.connect(login_dsn(dsn, "postgres"))
        try:
            await _migrate(connection, migrations)
        finally:
            await connection.close()


def _sql_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sql"))


async def _bootstrap(connection: asyncpg.Connection[asyncpg.Record], dsn: str) -> None:
    parts = urlsplit(dsn)
    async with connection.transaction():
        await connection.execute("lock table pg_catalog.pg_authid in share row exclusive mode")
        await connection.execute("set local client_min_messages = warning")
        for path in _sql_files(BOOTSTRAP):
            await connection.execute(path.read_text(encoding="utf-8"))
        for role in LOGINS:
            if role != parts.username:
                # ALTER ROLE takes no parameters; the verifier is hexadecimal and base64 only.
                verifier = scram_verifier(derived_password(unquote(parts.password or ""), role))
                await connection.execute(f"alter role {role} login password '{verifier}'")


async def _migrate(connection: asyncpg.Connection[asyncpg.Record], migrations: Path) -> None:
    done = await connection.fetchval("select array_agg(version) from supabase_migrations.schema_migrations") or []
    for path in _sql_files(migrations):
        version, _, name = path.stem.partition("_")
        if version in done:
            continue
        text = path.read_text(encoding="utf-8")
        try:
            async with connection.transaction():
                await connection.execute(text)
                await connection.execute("reset all")
                await connection.execute(
                    "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, $3)",
                    version,
                    name,
                    [text],
                )
        except asyncpg.PostgresError as error:
            raise MigrationError(f"{path.name}: {error}") from error

"""Promises of a prepared database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster
from devstack.postgres.prepare import MigrationError, login_dsn, prepare_database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def test_preparing_again_changes_nothing(database_url: str, connection: Connection) -> None:
    before = await connection.fetch("select version from supabase_migrations.schema_migrations")
    await prepare_database(database_url)
    assert await connection.fetch("select version from supabase_migrations.schema_migrations") == before


async def test_two_databases_of_one_cluster_can_be_prepared_at_the_same_time(cluster: Cluster) -> None:
    admin = await asyncpg.connect(cluster.dsn())
    names = ["together_a", "together_b", "together_c"]
    for name in names:
        await admin.execute(f"create database {name}")
    await asyncio.gather(*(prepare_database(cluster.dsn(name), migrate=False) for name in names))
    for name in names:
        await admin.execute(f"drop database {name} with (force)")
    await admin.close()


async def test_the_authenticator_logs_in_and_has_no_rights_of_its_own(
    database_url: str,
) -> None:
    authenticator = await asyncpg.connect(login_dsn(database_url, "authenticator"))
    assert await authenticator.fetchval("select session_user") == "authenticator"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await authenticator.execute("select count(*) from storage.objects")
    await authenticator.execute("set role service_role")
    await authenticator.execute("select count(*) from storage.objects")
    await authenticator.close()


async def test_nobody_gets_in_without_the_password(database_url: str) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(database_url.replace("admin:", "admin:x", 1))


async def test_a_new_table_in_public_is_granted_to_nobody(connection: Connection) -> None:
    await connection.execute("create table public.plain (a int)")
    for role in ("anon", "authenticated", "service_role"):
        assert not await connection.fetchval("select has_table_privilege($1, 'public.plain', 'select')", role)


async def test_policies_can_ask_who_is_calling(connection: Connection) -> None:
    claims = '{"sub":"11111111-1111-4111-8111-111111111111","role":"authenticated","email":"a@example.com"}'
    await connection.execute("select set_config('request.jwt.claims', $1, false)", claims)
    row = await connection.fetchrow("select auth.uid()::text, auth.role(), auth.email(), auth.jwt() ->> 'sub' as sub")
    assert row is not None
    assert tuple(row) == (
        "11111111-1111-4111-8111-111111111111",
        "authenticated",
        "a@example.com",
        "11111111-1111-4111-8111-111111111111",
    )
    await connection.execute("select set_config('request.jwt.claims', '', false)")
    assert await connection.fetchval("select auth.uid()") is None


async def test_paths_are_taken_apart_as_policies_expect(connection: Connection) -> None:
    row = await connection.fetchrow(
        "select storage.foldername(path), storage.filename(path), storage.extension(path)"
        " from (values ('u/s/a.b.png')) as _(path)"
    )
    assert row is not None
    assert tuple(row) == (["u", "s"], "a.b.png", "png")


async def test_objects_are_not_deleted_by_sql(connection: Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Use the Storage API"):
        await connection.execute("delete from storage.objects")


async def test_a_failing_migration_leaves_nothing_behind(
    database_url: str, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "20990101000000_half.sql").write_text("create table public.half (a int);\nselect 1 / 0;")
    with pytest.raises(MigrationError, match=r"20990101000000_half.sql: division by zero"):
        await prepare_database(database_url, migrations=tmp_path)
    assert await connection.fetchval("select to_regclass('public.half')") is None
    assert (
        await connection.fetchval("select count(*) from supabase_migrations.schema_migrations where name = 'half'") == 0
    )


async def test_every_schema_change_tells_the_rest_api(connection: Connection) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()
    await connection.add_listener("pgrst", lambda *message: told.put_nowait(message[3]))
    await connection.execute("create table public.fresh (a int)")
    assert await asyncio.wait_for(told.get(), 5) == "reload schema"

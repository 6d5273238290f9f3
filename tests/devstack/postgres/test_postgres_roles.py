"""Promises of the role postgres: it may what a hosted project's may, and is refused what that one is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster
from devstack.postgres.prepare import prepare_database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ALLOWED = [
    "create policy mine on storage.objects for select using (true); drop policy mine on storage.objects",
    "create policy mine on storage.buckets for select using (true)",
    "create policy mine on auth.users for select using (true)",
    "create policy mine on realtime.messages for select using (realtime.topic() = 'x')",
    "insert into auth.users (id) values (gen_random_uuid())",
    "insert into storage.buckets (id, name) values ('mine', 'mine')",
    "create trigger mine after insert on auth.users for each row execute function public.nothing();"
    " drop trigger mine on auth.users",
    "create table public.profiles (id uuid primary key references auth.users); drop table public.profiles",
    "create schema mine",
    "create table public.heard (id int primary key); alter publication supabase_realtime add table public.heard",
    "create extension citext with schema extensions",
    "create role mine; drop role mine",
    "alter role authenticated set statement_timeout = '10s'",
    "alter role authenticator set pgrst.db_schemas = 'public'",
    "set session_replication_role = 'replica'",
    "set role service_role",
    "select count(*) from pg_catalog.pg_stat_activity where query is not null",
]
REFUSED = [
    ("drop table storage.objects", "must be owner of table objects"),
    ("alter table auth.users add column mine int", "must be owner of table users"),
    ("alter table storage.objects disable row level security", "must be owner of table objects"),
    ("comment on table storage.buckets is 'mine'", "must be owner of table buckets"),
    ("create function storage.mine() returns int language sql as 'select 1'", "permission denied for schema storage"),
    ("create table auth.mine ()", "permission denied for schema auth"),
    ("create event trigger mine on sql_drop execute function extensions.pgrst_ddl_watch()", "event trigger"),
    ("create role mine superuser", "create"),
    ("copy (select 1) to program 'true'", "pg_execute_server_program"),
    ("alter role postgres superuser", "lter"),
    ("set role supabase_admin", "permission denied to set role"),
    ("drop publication supabase_realtime; select pg_read_file('/etc/passwd')", "permission denied for function"),
]


@pytest.fixture
async def owner(cluster: Cluster, database_url: str) -> AsyncIterator[Connection]:
    """The project's owner, on a prepared database, in a transaction that is rolled back: roles are the cluster's."""
    await prepare_database(database_url)
    connection = await asyncpg.connect(cluster.project_dsn(database_url.rpartition("/")[2]))
    rolled_back = connection.transaction()
    await rolled_back.start()
    await connection.execute("create function public.nothing() returns trigger language plpgsql as 'begin end'")
    yield connection
    await rolled_back.rollback()
    await connection.close()


async def test_postgres_is_no_superuser_and_passes_row_security(owner: Connection) -> None:
    role = await owner.fetchrow(
        "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls from pg_catalog.pg_roles"
        " where rolname = current_user and rolname = 'postgres'"
    )
    assert role is not None
    assert tuple(role) == (False, True, True, True, True)


async def refusal(connection: Connection, sql: str) -> str | None:
    """What PostgreSQL says against a statement, which leaves nothing behind."""
    attempt = connection.transaction()
    await attempt.start()
    try:
        await connection.execute(sql)
    except asyncpg.InsufficientPrivilegeError as error:
        return str(error)
    finally:
        await attempt.rollback()
    return None


async def test_what_a_hosted_project_allows_is_allowed(owner: Connection) -> None:
    assert {sql: await refusal(owner, sql) for sql in ALLOWED} == dict.fromkeys(ALLOWED)


async def test_what_a_hosted_project_refuses_is_refused(owner: Connection) -> None:
    said = {sql: await refusal(owner, sql) for sql, _ in REFUSED}
    assert [(sql, said[sql]) for sql, words in REFUSED if words not in (said[sql] or "allowed")] == []


async def test_the_migrations_belong_to_postgres(owner: Connection) -> None:
    owners = await owner.fetch(
        "select distinct pg_get_userbyid(proowner) from pg_catalog.pg_proc"
        " where pronamespace in ('listener'::regnamespace, 'public'::regnamespace)"
        " union select distinct pg_get_userbyid(relowner) from pg_catalog.pg_class"
        " where relnamespace in ('listener'::regnamespace, 'public'::regnamespace)"
    )
    assert [tuple(row) for row in owners] == [("postgres",)]


async def test_the_services_are_not_held_to_the_owners_rights(connection: Connection) -> None:
    for role in ("supabase_storage_admin", "supabase_auth_admin"):
        schema = role.split("_")[1]
        await connection.execute(f"set role {role}")
        await connection.execute(f"create table {schema}.mine (id int); drop table {schema}.mine")
        await connection.execute("reset role")

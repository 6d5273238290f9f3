"""sql/ is what we read, supabase/migrations/ is what is applied: both must make the same database."""

from __future__ import annotations

import re
import runpy
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster
from devstack.postgres.prepare import prepare_database

ROOT = Path(__file__).parents[2]
OURS = "nspname in ('listener', 'public')"
CATALOGS = {
    "columns": f"""
        select class.oid::regclass::text as relation, attname, attnum, format_type(atttypid, atttypmod) as type,
          attnotnull, attidentity::text, attgenerated::text, attacl::text, pg_get_expr(adbin, adrelid) as default_value
        from pg_attribute
        join pg_class as class on class.oid = attrelid
        join pg_namespace as namespace on namespace.oid = relnamespace
        left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where {OURS} and attnum > 0 and relkind in ('r', 'v', 'i', 'c')
    """,
    "relations": f"""
        select class.oid::regclass::text as relation, relkind::text, relrowsecurity, relforcerowsecurity, reloptions,
          (select array_agg(entry::text order by entry::text) from unnest(relacl) as entry) as acl,
          obj_description(class.oid)
        from pg_class as class join pg_namespace as namespace on namespace.oid = relnamespace where {OURS}
    """,
    "constraints": f"""
        select conrelid::regclass::text as relation, conname, pg_get_constraintdef(pg_constraint.oid) as definition
        from pg_constraint join pg_namespace as namespace on namespace.oid = connamespace where {OURS}
    """,
    "indexes": "select * from pg_indexes where schemaname in ('listener', 'public')",
    "views": "select * from pg_views where schemaname in ('listener', 'public')",
    "functions": f"""
        select pg_proc.oid::regprocedure::text as signature, pg_get_functiondef(pg_proc.oid) as definition,
          (select array_agg(entry::text order by entry::text) from unnest(proacl) as entry) as acl
        from pg_proc join pg_namespace as namespace on namespace.oid = pronamespace where {OURS}
    """,
    "triggers": f"""
        select pg_get_triggerdef(pg_trigger.oid) as definition, tgenabled::text
        from pg_trigger join pg_class on pg_class.oid = tgrelid
        join pg_namespace as namespace on namespace.oid = relnamespace where {OURS} and not tgisinternal
    """,
    "policies": "select * from pg_policies",
    "schemas": f"""
        select nspname, (select array_agg(entry::text order by entry::text) from unnest(nspacl) as entry) as acl
        from pg_namespace as namespace where {OURS}
    """,
    "publications": "select * from pg_publication_tables",
    "plans": "select * from listener.plans",
    "kinds": "select * from listener.kinds",
    "session_tables": "select * from listener.session_tables",
    "buckets": "select id, name, public, file_size_limit, allowed_mime_types from storage.buckets",
}


async def described(url: str) -> dict[str, list[str]]:
    connection = await asyncpg.connect(url)
    try:
        return {
            name: sorted(repr(tuple(row.items())) for row in await connection.fetch(query))
            for name, query in CATALOGS.items()
        }
    finally:
        await connection.close()


@pytest.fixture
async def declared_url(cluster: Cluster) -> AsyncIterator[str]:
    """A database made from sql/ instead of the migrations."""
    admin = await asyncpg.connect(cluster.dsn())
    await admin.execute("create database declared")
    await prepare_database(cluster.dsn("declared"), migrate=False)
    declared = await asyncpg.connect(cluster.project_dsn("declared"))
    await declared.execute(runpy.run_path(str(ROOT / "sql" / "migration.py"))["declared_sql"]())
    await declared.close()
    yield cluster.dsn("declared")
    await admin.execute("drop database declared with (force)")
    await admin.close()


async def test_sql_and_the_migrations_make_the_same_database(database_url: str, declared_url: str) -> None:
    migrated, declared = await described(database_url), await described(declared_url)
    for name in CATALOGS:
        assert migrated[name] == declared[name], name
        assert migrated[name], f"{name}: the comparison saw nothing"


def test_every_file_of_sql_is_declared() -> None:
    files = runpy.run_path(str(ROOT / "sql" / "migration.py"))["declared_files"]()
    assert set(files) == set((ROOT / "sql").rglob("*.sql"))


def test_nothing_asks_postgrest_to_repeat_a_call_without_end() -> None:
    raised = re.compile(r"(errcode = |sqlstate )'40")
    assert [path.name for path in (ROOT / "sql").rglob("*.sql") if raised.search(path.read_text())] == []

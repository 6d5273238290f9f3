"""A table is adopted from the command line: the statement as text, tried, or done."""

from __future__ import annotations

import asyncpg
import pytest
from click.testing import CliRunner

from listener.cli.main import cli
from listener.cli.watch_table import statement_of, watch_table
from tests.support.commands import Ended, listener

TABLE = """
create table public.try_ons (id uuid primary key default gen_random_uuid(), store_id uuid not null, "it's" text);
alter table public.try_ons enable row level security;
create policy reads on public.try_ons for select to authenticated using ((select auth.uid()) = store_id);
create policy inserts on public.try_ons for insert to authenticated with check ((select auth.uid()) = store_id);
"""
WATCH = ("watch-table", "public.try_ons", "--kind", "portrait", "--owner-column", "store_id", "--credits", "2")
OURS = [
    "avatar_sessions",
    "generation_jobs",
    "generation_sessions",
    "headshot_sessions",
    "store_avatar_sessions",
    "store_generation_sessions",
]


async def run(url: str, *more: str) -> Ended:
    return await listener(*WATCH, *more, DATABASE_URL=url)


async def watched(connection: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await connection.fetch("select relation::text from listener.session_tables order by 1")]


def test_without_a_connection_the_statement_is_printed_as_one_would_write_it() -> None:
    ran = CliRunner().invoke(cli, [*WATCH, "--columns", '{"finished_at": "completed_at"}', "--no-grant-select"])
    assert ran.exit_code == 0
    assert ran.output == (
        "select listener.watch('public.try_ons', kind => 'portrait', owner_column => 'store_id', credits => 2, "
        'columns => \'{"finished_at": "completed_at"}\', grant_select => false);\n'
    )


async def test_every_argument_of_watch_is_an_option_and_none_is_invented(connection: asyncpg.Connection) -> None:
    names = await connection.fetchval("select proargnames from pg_proc where oid = to_regproc('listener.watch')")
    options = {parameter.name for parameter in watch_table.params} - {"dry_run", "applies", "url"}
    assert options == set(names)


@pytest.mark.parametrize("words", ["it's", "a\\b", "'); drop table x; --", "\\'"])
async def test_words_reach_the_database_as_they_are(connection: asyncpg.Connection, words: str) -> None:
    statement = statement_of("t", {"kind": words, "insert_columns": [words], "columns": {words: words}})
    values = statement.removeprefix("select listener.watch('t', ").removesuffix(")")
    kind, insert_columns, columns = (value.split(" => ", 1)[1] for value in _split(values))
    row = await connection.fetchrow(f"select {kind}, {insert_columns}, ({columns})::jsonb ->> $1", words)
    assert tuple(row) == (words, [words], words)


def _split(values: str) -> list[str]:
    kind, _, rest = values.partition(", insert_columns")
    insert_columns, _, columns = rest.partition(", columns")
    return [kind, f"insert_columns{insert_columns}", f"columns{columns}"]


async def test_a_dry_run_says_what_would_be_and_changes_nothing(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(TABLE)
    ended = await run(database_url, "--dry-run")
    assert (ended.status, ended.complained) == (0, "")
    assert ended.said.startswith("would be watched: {")
    assert '"status"' in ended.said
    assert await watched(connection) == OURS
    columns = await connection.fetch("select from information_schema.columns where table_name = 'try_ons'")
    assert len(columns) == 3


async def test_apply_makes_its_rows_sessions(database_url: str, connection: asyncpg.Connection) -> None:
    await connection.execute(TABLE)
    ended = await run(database_url, "--apply")
    assert (ended.status, ended.complained) == (0, "")
    assert ended.said.startswith("watched: {")
    assert await watched(connection) == [*OURS, "try_ons"]
    await connection.execute("insert into public.try_ons (store_id) values (gen_random_uuid())")
    assert await connection.fetchval("select cost from listener.sessions where kind = 'portrait'") == 2


async def test_a_refused_table_is_told_with_every_reason_and_remedy(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute("create table public.try_ons (id bigint primary key, store_id text)")
    ended = await run(database_url, "--apply")
    assert ended.status == 1
    assert "cannot be watched" in ended.complained
    assert "DETAIL" in ended.complained
    assert "HINT" in ended.complained
    assert await watched(connection) == OURS


def test_columns_that_are_no_json_object_are_refused() -> None:
    ran = CliRunner().invoke(cli, [*WATCH, "--columns", "[1]"])
    assert (ran.exit_code, "must be a JSON object" in ran.output) == (2, True)

"""Promises of the schema cache and of the settings that a project makes in its database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg
import pytest

from tests.devstack.rest.raw import Rest

Setting: TypeAlias = Callable[[str, str, str], Awaitable[None]]
UNTOLD = "alter event trigger pgrst_ddl_watch disable; alter event trigger pgrst_drop_watch disable"
DEADLINE_S = 20


@pytest.fixture
async def set_for(connection: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[Setting]:
    """Sets something for a role in this database alone, and tells the server."""
    database = await connection.fetchval("select current_database()")

    async def apply(role: str, name: str, value: str) -> None:
        await connection.execute(f"alter role {role} in database {database} set {name} = '{value}'")
        await connection.execute("notify pgrst, 'reload config'")

    yield apply
    for role in ("authenticator", "anon"):
        await connection.execute(f"alter role {role} in database {database} reset all")


async def test_what_nobody_tells_of_is_not_seen(rest: Rest, connection: Any) -> None:
    assert (await rest("GET", "/parents")).status_code == 200
    await connection.execute(UNTOLD)
    await connection.execute("create table public.fresh (a int); grant all on public.fresh to service_role")
    assert (await rest("GET", "/fresh")).json()["code"] == "PGRST205"
    await connection.execute("notify pgrst, 'reload schema'")
    assert (await rest("GET", "/fresh")).json() == []
    await connection.execute("drop table public.fresh")
    assert (await rest("GET", "/fresh")).json()["code"] == "42P01"


async def test_a_mistyped_table_is_met_with_one_like_it(rest: Rest) -> None:
    answer = await rest("GET", "/parent")
    assert (answer.status_code, answer.json()["hint"]) == (404, "Perhaps you meant the table 'public.parents'")


async def test_a_project_says_which_schemas_are_exposed(rest: Rest, connection: Any, set_for: Setting) -> None:
    await connection.execute("create schema other; create table other.things (a int)")
    await connection.execute("grant usage on schema other to service_role; grant all on other.things to service_role")
    assert (await rest("GET", "/things", Accept_Profile="other")).status_code == 406
    await set_for("authenticator", "pgrst.db_schemas", "public, other")
    answer = await rest("GET", "/things", Accept_Profile="other")
    assert (answer.status_code, answer.headers["Content-Profile"]) == (200, "other")
    answer = await rest("POST", "/things", {"a": 1}, Content_Profile="other", Prefer="return=representation")
    assert (answer.status_code, answer.json()) == (201, [{"a": 1}])
    answer = await rest("GET", "/things", Accept_Profile="third")
    assert answer.json()["hint"] == "Only the following schemas are exposed: public, other"


async def test_a_project_says_how_many_rows_a_page_has(rest: Rest, set_for: Setting) -> None:
    await set_for("authenticator", "pgrst.db_max_rows", "1")
    await _until(rest, "/parents?order=id", [{"id": 1, "name": "p1"}])
    answer = await rest("GET", "/parents?order=id", Prefer="count=exact")
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, "0-0/2")


async def test_a_projects_own_check_runs_before_every_request(rest: Rest, connection: Any, set_for: Setting) -> None:
    await connection.execute(
        "create function public.check_request() returns void language plpgsql as $$ begin"
        " if current_setting('request.headers')::json ->> 'x-banned' is not null then"
        " raise sqlstate 'PT429' using message = 'slow down'; end if; end $$"
    )
    await set_for("authenticator", "pgrst.db_pre_request", "public.check_request")
    async with asyncio.timeout(DEADLINE_S):
        while (await rest("GET", "/parents", X_Banned="yes")).status_code != 429:
            pass
    assert (await rest("GET", "/parents")).status_code == 200


async def test_a_role_has_the_time_limit_it_was_given_unless_the_function_has_its_own(
    rest: Rest, connection: Any, set_for: Setting
) -> None:
    await connection.execute(
        "create function public.f_patient() returns void language sql set statement_timeout = '20s'"
        " as 'select pg_sleep(0.5)'"
    )
    await set_for("anon", "statement_timeout", "100ms")
    async with asyncio.timeout(DEADLINE_S):
        while (await rest("POST", "/rpc/f_who", {}, role="anon")).json()["timeout"] != "100ms":
            pass
    answer = await rest("POST", "/rpc/f_sleep", {"s": 0.5}, role="anon")
    assert (answer.status_code, answer.json()["code"]) == (500, "57014")
    assert (await rest("POST", "/rpc/f_patient", {}, role="anon")).status_code == 204


async def test_after_an_outage_changes_are_heard_again(rest: Rest, connection: Any) -> None:
    assert (await rest("GET", "/parents")).status_code == 200
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(DEADLINE_S):
        while (answer := await rest("GET", "/parents")).status_code != 200:
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "0")
    await connection.execute("create table public.fresh (a int); grant all on public.fresh to service_role")
    assert (await rest("GET", "/fresh")).json() == []


async def test_a_deadlock_is_run_again_by_the_server(rest: Rest, connection: Any) -> None:
    await connection.execute(
        "create sequence public.tries;"
        "create function public.f_third() returns bigint language plpgsql as $$ declare n bigint := nextval('tries');"
        " begin if n < 3 then raise exception using errcode = '40P01'; end if; return n; end $$;"
        "grant all on sequence public.tries to service_role"
    )
    answer = await rest("POST", "/rpc/f_third", {})
    assert (answer.status_code, answer.text) == (200, "3")


async def _until(rest: Rest, path: str, wanted: Any) -> None:
    """Ask until the setting is heard of; nothing else tells when that is."""
    async with asyncio.timeout(DEADLINE_S):
        while (await rest("GET", path)).json() != wanted:
            pass

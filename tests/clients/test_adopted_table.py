"""A table that an app had before is adopted and driven by every client through REST, Realtime and a real worker."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from tests.clients import browser, python_player
from tests.clients.scenario import Scenario, judge, scenario
from tests.support.chromium import CHROMIUM
from tests.support.commands import listener
from tests.support.node import run_node
from tests.support.target import Target

# Its own names, its own trigger, its own states, and rights that the app gave itself.
TABLE = """
create table public.{name} (
  id uuid primary key default gen_random_uuid(),
  customer uuid not null default auth.uid(),
  prompt text not null,
  note text,
  status text not null default 'queued'
    check (status in ('draft', 'queued', 'processing', 'completed', 'failed', 'cancelled')),
  touched integer not null default 0
);
create function public.{name}_touch() returns trigger language plpgsql as
  $$ begin new.touched := old.touched + 1; return new; end $$;
create trigger touch before update on public.{name} for each row execute function public.{name}_touch();
alter table public.{name} enable row level security;
create policy own_rows on public.{name} for select to authenticated using ((select auth.uid()) = customer);
create policy own_inserts on public.{name} for insert to authenticated with check ((select auth.uid()) = customer);
create policy own_updates on public.{name} for update to authenticated using ((select auth.uid()) = customer);
grant select, insert, update (note) on public.{name} to authenticated;
"""
ADOPTED = ("--kind", "headshot", "--owner-column", "customer", "--credits", "2")
COLUMNS = {"version": "state_version", "finished_at": "done_at"}
SEEN_WITHIN_S = 30.0


@pytest.fixture
async def begun(project: Target, books: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[Scenario]:
    """The scenario on a table that was adopted by the command; it is given back and dropped afterwards."""
    name = f"orders_{secrets.token_hex(4)}"
    assert project.db_url
    await books.execute(TABLE.format(name=name))
    try:
        words = ("watch-table", f"public.{name}", *ADOPTED, "--columns", json.dumps(COLUMNS), "--apply")
        adopted = await listener(*words, DATABASE_URL=project.db_url)
        assert adopted.status == 0, adopted.complained
        await until_served(project, name)
        yield scenario("adopted").begun(table=name)
        await books.execute("select listener.unwatch($1::text::regclass, cancel_open => true)", f"public.{name}")
    finally:
        await books.execute(f"drop table public.{name}; drop function public.{name}_touch")


async def until_served(project: Target, table: str) -> None:
    """Wait until the REST server has heard of the table and its new columns."""
    key = project.service_role_key
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    async with asyncio.timeout(SEEN_WITHIN_S), httpx.AsyncClient(base_url=project.url, headers=headers) as http:
        while (await http.get(f"/rest/v1/{table}", params={"select": "state_version"})).status_code != httpx.codes.OK:
            await asyncio.sleep(0.1)


async def test_with_supabase_py(project: Target, begun: Scenario) -> None:
    assert judge(begun, await python_player.play(begun, project.url, project.anon_key)) == []


async def test_with_supabase_js_in_node(project: Target, begun: Scenario) -> None:
    given = {"url": project.url, "key": project.anon_key, **begun.as_json()}
    printed = await run_node("tests/clients/play_in_node.mjs", within_s=80, SCENARIO=json.dumps(given))
    assert judge(begun, json.loads(printed.splitlines()[-1])) == []


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: `apt-get install chromium`")
async def test_with_supabase_js_in_chromium(project: Target, begun: Scenario) -> None:
    async with browser.scenario_page() as page:
        assert judge(begun, await browser.play(page, begun, project.url, project.anon_key)) == []

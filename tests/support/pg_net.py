"""pg_net as far as a webhook needs it, where the project has none: a queue in the database and a sender beside it.

Signature and semantics as documented: queued in the caller's transaction, sent once after its commit, and the body's
bytes are those of `body::text`. A project that has pg_net keeps its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg

PRESENT = "select to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)') is not null"
STAND_IN = """
create schema net;
create unlogged table net.http_request_queue (
  id bigint generated always as identity, url text not null, headers jsonb, body bytea,
  timeout_milliseconds integer not null
);
create function net.http_post(
  url text, body jsonb default '{}', params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}', timeout_milliseconds integer default 5000
)
returns bigint
language plpgsql security definer
as $$
declare
  v_id bigint;
begin
  insert into net.http_request_queue (url, headers, body, timeout_milliseconds)
  values (http_post.url, http_post.headers, convert_to(http_post.body::text, 'UTF8'), http_post.timeout_milliseconds)
  returning id into v_id;
  perform pg_notify('net', '');
  return v_id;
end
$$;
"""
DASHBOARD_PRESENT = "select to_regprocedure('supabase_functions.http_request()') is not null"
DASHBOARD = """
create schema supabase_functions;
create function supabase_functions.http_request()
returns trigger
language plpgsql security definer
as $$
begin
  perform net.http_post(
    url => tg_argv[0], headers => tg_argv[2]::jsonb, timeout_milliseconds => tg_argv[4]::integer,
    body => jsonb_build_object(
      'type', tg_op, 'table', tg_table_name, 'schema', tg_table_schema, 'record', to_jsonb(new), 'old_record', null
    )
  );
  return new;
end
$$;
"""
"""What a webhook made in the dashboard calls: the trigger's arguments are URL, method, headers, params, timeout."""


async def install(connection: asyncpg.Connection) -> bool:
    """Make the stand-ins, unless pg_net is there; tells whether it was made."""
    is_missing = not await connection.fetchval(PRESENT)
    if is_missing:
        await connection.execute(STAND_IN)
    if not await connection.fetchval(DASHBOARD_PRESENT):
        await connection.execute(DASHBOARD)
    return is_missing


@asynccontextmanager
async def sending(database_url: str) -> AsyncIterator[None]:
    """Send what is queued until the block ends; without a stand-in the project's own pg_net does it."""
    connection = await asyncpg.connect(database_url)
    try:
        if not await install(connection):
            yield
            return
        queued = asyncio.Event()
        await connection.add_listener("net", lambda *_: queued.set())
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            task = group.create_task(_send(connection, http, queued))
            yield
            task.cancel()
    finally:
        await connection.close()


async def _send(connection: asyncpg.Connection, http: aiohttp.ClientSession, queued: asyncio.Event) -> None:
    while True:
        await queued.wait()
        queued.clear()
        for one in await connection.fetch("delete from net.http_request_queue returning *"):
            timeout = aiohttp.ClientTimeout(one["timeout_milliseconds"] / 1000)
            try:
                async with http.post(one["url"], data=one["body"], headers=json.loads(one["headers"]), timeout=timeout):
                    pass
            except (TimeoutError, aiohttp.ClientError):
                pass  # no retry, as the real one

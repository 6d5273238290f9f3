"""Promises of database webhooks: the dashboard's plain trigger and a signed one reach their receiver."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster
from devstack.postgres.prepare import prepare_database
from devstack.stack import Stack
from tests.devstack.webhooks.conftest import Receiver

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SECRET = b"thirty-two bytes of secret stuff"
# As a project's owner would write it: Standard Webhooks, the secret in Vault.
SIGNED = """
create function public.sign_and_send() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  v_body jsonb := jsonb_build_object('type', tg_op, 'table', tg_table_name, 'schema', tg_table_schema,
    'record', to_jsonb(new), 'old_record', to_jsonb(old));
  v_id text := 'msg_' || new.id;
  v_at text := floor(extract(epoch from now()))::bigint::text;
  v_secret text := (select decrypted_secret from vault.decrypted_secrets where name = 'webhook');
begin
  perform net.http_post(tg_argv[0], v_body, headers => jsonb_build_object(
    'Content-Type', 'application/json', 'webhook-id', v_id, 'webhook-timestamp', v_at,
    'webhook-signature', 'v1,' || encode(extensions.hmac(
      convert_to(concat_ws('.', v_id, v_at, v_body::text), 'UTF8'), decode(v_secret, 'base64'), 'sha256'), 'base64')));
  return new;
end
$$;
"""


@pytest.fixture
async def owner(stack: Stack) -> AsyncIterator[Connection]:
    """The project's owner, with a table of his own."""
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute("create table public.orders (id int primary key, note text)")
    yield connection
    await connection.close()


async def test_the_dashboards_webhook_is_delivered(owner: Connection, receiver: Receiver) -> None:
    await owner.execute(
        "create trigger told after insert or update or delete on public.orders for each row execute function"
        f" supabase_functions.http_request('{receiver.url}/hook', 'POST',"
        """ '{"Content-Type":"application/json","X-Secret":"s"}', '{}', '1000')"""
    )
    await owner.execute("insert into public.orders values (1, 'é')")
    heard = await receiver.next()
    row = {"id": 1, "note": "é"}
    assert json.loads(heard.body) == {
        "type": "INSERT",
        "table": "orders",
        "schema": "public",
        "record": row,
        "old_record": None,
    }
    assert heard.headers["x-secret"] == "s"
    await owner.execute("update public.orders set note = 'b'; delete from public.orders")
    changed, removed = json.loads((await receiver.next()).body), json.loads((await receiver.next()).body)
    if changed["type"] == "DELETE":
        changed, removed = removed, changed
    assert (changed["type"], changed["old_record"], changed["record"]) == ("UPDATE", row, {"id": 1, "note": "b"})
    assert (removed["type"], removed["record"], removed["old_record"]) == ("DELETE", None, {"id": 1, "note": "b"})
    hooks = await owner.fetch(
        "select hook_name, hook_table_id = 'orders'::regclass::oid::int from supabase_functions.hooks"
    )
    assert [tuple(hook) for hook in hooks] == [("told", True)] * 3


async def test_a_signed_webhook_is_delivered_with_a_signature_over_its_very_bytes(
    owner: Connection, receiver: Receiver
) -> None:
    await owner.execute("select vault.create_secret($1, 'webhook')", base64.b64encode(SECRET).decode())
    await owner.execute(SIGNED)
    await owner.execute(
        "create trigger told after insert on public.orders for each row"
        f" execute function public.sign_and_send('{receiver.url}/hook')"
    )
    await owner.execute("""insert into public.orders values (7, 'é "quoted"')""")
    heard = await receiver.next()
    assert abs(time.time() - int(heard.headers["webhook-timestamp"])) < 60
    signed = b".".join([b"msg_7", heard.headers["webhook-timestamp"].encode(), heard.body])
    wanted = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert heard.headers["webhook-signature"] == f"v1,{wanted}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "url argument is missing"),
        ("'http://x'", "method argument is missing"),
        ("'http://x', 'PUT', '{}', '{}', '1000'", "method argument PUT is invalid"),
    ],
)
async def test_a_webhook_set_up_wrongly_fails_the_write(owner: Connection, arguments: str, words: str) -> None:
    await owner.execute(
        "create trigger told after insert on public.orders for each row"
        f" execute function supabase_functions.http_request({arguments})"
    )
    with pytest.raises(asyncpg.RaiseError, match=words):
        await owner.execute("insert into public.orders values (1)")


async def test_hmac_and_digest_are_those_of_python(connection: Connection) -> None:
    for kind in ("sha224", "sha256", "sha384", "sha512"):
        for key in (b"k", b"k" * 64, b"k" * 200):
            made = await connection.fetchval("select extensions.hmac($1::bytea, $2::bytea, $3)", b"text", key, kind)
            assert made == hmac.digest(key, b"text", kind)
        assert (
            await connection.fetchval("select extensions.digest('é', $1)", kind)
            == hashlib.new(kind, "é".encode()).digest()
        )
    assert len(await connection.fetchval("select extensions.gen_random_bytes(33)")) == 33
    with pytest.raises(asyncpg.InvalidParameterValueError, match="No such hash algorithm"):
        await connection.execute("select extensions.hmac('a', 'b', 'rot13')")


async def test_only_the_owner_and_the_services_read_the_vault(connection: Connection) -> None:
    for role in ("anon", "authenticated"):
        await connection.execute(f"set role {role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select * from vault.decrypted_secrets")
        await connection.execute("reset role")


async def test_preparing_again_keeps_what_is_queued_and_secret(cluster: Cluster, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("select net.http_post('http://127.0.0.1:1'), vault.create_secret('s', 'n')")
    await prepare_database(database_url)
    kept = await connection.fetchrow(
        "select (select count(*) from net.http_request_queue), (select count(*) from vault.secrets)"
    )
    await connection.close()
    assert kept is not None
    assert tuple(kept) == (1, 1)

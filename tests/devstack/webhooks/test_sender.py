"""Promises of HTTP from SQL: sent after the commit, once, all of a batch at once, and its answer kept."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TypeAlias

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster
from devstack.webhooks.sender import Sender
from tests.devstack.webhooks.conftest import Receiver, answered

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
POST = "select net.http_post($1, $2::text::jsonb)"


async def test_a_posted_body_arrives_as_json_and_its_answer_is_kept(
    sender: None, receiver: Receiver, connection: Connection
) -> None:
    request = await connection.fetchval(POST, f"{receiver.url}/hook", '{"b": 1, "a": "é"}')
    heard = await receiver.next()
    assert (heard.method, heard.path, heard.body) == ("POST", "/hook", '{"a": "é", "b": 1}'.encode())
    assert heard.headers["content-type"] == "application/json"
    assert re.fullmatch(r"pg_net/[0-9.]+", heard.headers["user-agent"])
    row = await answered(connection, request)
    assert (row["status_code"], json.loads(row["content"]), row["timed_out"], row["error_msg"]) == (
        200, {"heard": True}, False, None,
    )  # fmt: skip
    assert json.loads(row["headers"])["X-Kept"] == "yes"
    assert row["content_type"].startswith("application/json")
    result = await connection.fetchrow("select (net._http_collect_response($1)).*", request)
    assert result is not None
    assert (result["status"], result["message"], result["response"]["status_code"]) == ("SUCCESS", "ok", 200)


async def test_nothing_is_sent_before_the_commit_and_nothing_after_a_rollback(
    sender: None, receiver: Receiver, connection: Connection
) -> None:
    undone = connection.transaction()
    await undone.start()
    await connection.fetchval(POST, f"{receiver.url}/undone", "{}")
    await undone.rollback()
    async with connection.transaction():
        await connection.fetchval(POST, f"{receiver.url}/first", "{}")
        assert receiver.requests.empty()
    assert (await receiver.next()).path == "/first"
    assert receiver.requests.empty()


async def test_a_failure_is_kept_and_not_tried_again(sender: None, receiver: Receiver, connection: Connection) -> None:
    request = await connection.fetchval(POST, f"{receiver.url}/status/503", "{}")
    row = await answered(connection, request)
    assert (row["status_code"], row["error_msg"]) == (503, None)
    last = await connection.fetchval(POST, f"{receiver.url}/last", "{}")
    await answered(connection, last)
    assert [receiver.requests.get_nowait().path for _ in range(2)] == ["/status/503", "/last"]
    assert receiver.requests.empty()
    assert await connection.fetchval("select count(*) from net.http_request_queue") == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/", "Couldn't connect to server"),
        ("ftp://127.0.0.1/", "Unsupported protocol"),
        ("nonsense", "URL using bad/illegal format or missing URL"),
        ("http://", "URL using bad/illegal format or missing URL"),
    ],
)
async def test_what_cannot_be_sent_is_told_in_curls_words(
    sender: None, connection: Connection, url: str, words: str
) -> None:
    row = await answered(connection, await connection.fetchval(POST, url, "{}"))
    assert (row["status_code"], row["timed_out"], row["error_msg"]) == (None, False, words)


async def test_a_slow_receiver_times_out(sender: None, receiver: Receiver, connection: Connection) -> None:
    sql = "select net.http_post($1, timeout_milliseconds => 200)"
    row = await answered(connection, await connection.fetchval(sql, f"{receiver.url}/late"))
    assert (row["status_code"], row["timed_out"]) == (None, True)
    assert row["error_msg"].startswith("Timeout of 200 ms reached. Total time: 2")


async def test_the_next_batch_waits_for_the_slowest_of_this_one(
    sender: None, receiver: Receiver, connection: Connection
) -> None:
    async with connection.transaction():
        await connection.fetchval(POST, f"{receiver.url}/late", "{}")
        await connection.fetchval(POST, f"{receiver.url}/beside", "{}")
    assert {(await receiver.next()).path, (await receiver.next()).path} == {"/late", "/beside"}
    behind = await connection.fetchval(POST, f"{receiver.url}/behind", "{}")
    assert await connection.fetchval("select count(*) from net._http_response") == 0
    assert receiver.requests.empty()
    receiver.hold.set()
    await answered(connection, behind)
    assert (await receiver.next()).path == "/behind"


async def test_what_a_killed_sender_had_in_hand_is_sent_again(
    database_url: str, receiver: Receiver, connection: Connection
) -> None:
    async with Sender(database_url).running():
        request = await connection.fetchval(POST, f"{receiver.url}/late", "{}")
        await receiver.next()
    receiver.hold.set()
    async with Sender(database_url).running():
        assert (await receiver.next()).path == "/late"
        assert (await answered(connection, request))["status_code"] == 200


async def test_the_queue_does_not_outlive_a_crash(cluster: Cluster, connection: Connection) -> None:
    kinds = await connection.fetch(
        "select relname, relpersistence::text from pg_catalog.pg_class where relnamespace = 'net'::regnamespace"
        " and relkind = 'r'"
    )
    assert {tuple(row) for row in kinds} == {("http_request_queue", "u"), ("_http_response", "u")}


async def test_get_and_delete_and_parameters(sender: None, receiver: Receiver, connection: Connection) -> None:
    params = json.dumps({"q": "a b&c=é~", "n": 1})
    await connection.fetchval("select net.http_get($1, $2::text::jsonb)", f"{receiver.url}/x?y=1", params)
    heard = await receiver.next()
    assert (heard.method, heard.path, heard.body) == ("GET", "/x?y=1&n=1&q=a%20b%26c%3D%C3%A9~", b"")
    headers = json.dumps({"X-Who": "me"})
    await connection.fetchval("select net.http_delete($1, headers => $2::text::jsonb)", f"{receiver.url}/x", headers)
    heard = await receiver.next()
    assert (heard.method, heard.headers["x-who"]) == ("DELETE", "me")


async def test_redirects_are_followed(sender: None, receiver: Receiver, connection: Connection) -> None:
    row = await answered(connection, await connection.fetchval(POST, f"{receiver.url}/moved", '{"kept": true}'))
    assert row["status_code"] == 200
    assert [(await receiver.next()).path, (await receiver.next()).body] == ["/moved", b'{"kept": true}']


async def test_only_json_is_posted(connection: Connection) -> None:
    with pytest.raises(asyncpg.RaiseError, match='Content-Type header must be "application/json"'):
        await connection.execute("""select net.http_post('http://x', headers => '{"content-type": "text/plain"}')""")
    with pytest.raises(asyncpg.RaiseError, match="body must not be null"):
        await connection.execute("select net.http_post('http://x', null)")


async def test_a_header_of_two_lines_is_not_sent(sender: None, receiver: Receiver, connection: Connection) -> None:
    headers = json.dumps({"X-Two": "a\r\nX-Three: b"})
    sql = "select net.http_post($1, headers => $2::text::jsonb)"
    row = await answered(connection, await connection.fetchval(sql, receiver.url, headers))
    assert row["error_msg"] == 'header "X-Two" contains a carriage return or line feed'
    assert receiver.requests.empty()


@pytest.mark.parametrize("headers", ["[]", '"X-Who: me"', "1"])
async def test_headers_that_are_no_object_end_one_request_and_no_other(
    sender: None, receiver: Receiver, connection: Connection, headers: str
) -> None:
    sql = "select net.http_get($1, headers => $2::text::jsonb)"
    row = await answered(connection, await connection.fetchval(sql, f"{receiver.url}/wrong", headers))
    assert (row["status_code"], row["error_msg"]) == (None, "cannot call jsonb_each_text on a non-object")
    await connection.fetchval(POST, f"{receiver.url}/right", "{}")
    assert (await receiver.next()).path == "/right"


async def test_an_answer_that_is_not_utf_8_is_kept_and_its_request_not_sent_again(
    sender: None, connection: Connection
) -> None:
    heard = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/caf\xe9\r\nX-Caf: \xe9\r\n")
        writer.write(b"Content-Length: 2\r\nConnection: close\r\n\r\n\xe9\x00")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        row = await answered(connection, await connection.fetchval("select net.http_get($1)", url))
    assert (row["status_code"], row["content_type"], row["content"]) == (200, "text/caf\ufffd", "\ufffd")
    assert heard == 1


async def test_without_a_sender_the_check_says_so(database_url: str, connection: Connection) -> None:
    with pytest.raises(asyncpg.RaiseError, match="background worker is not up"):
        await connection.execute("select net.check_worker_is_up()")
    async with Sender(database_url).running(), asyncio.timeout(20):
        while True:
            try:
                await connection.execute("select net.check_worker_is_up()")
                break
            except asyncpg.RaiseError:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("role", ["postgres", "anon", "authenticated", "service_role"])
async def test_every_role_of_the_api_may_send(connection: Connection, role: str) -> None:
    await connection.execute(f"set role {role}")
    assert await connection.fetchval("select net.http_post('http://127.0.0.1:1')") > 0
    await connection.execute("reset role")

"""Nonsense from outside is refused by each service in its own words, never by a traceback, and hurts nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
import httpx
import pytest

from devstack.stack import Stack

MANY_DIGITS = "9" * 4500
DEEP = 700
SCHEMA = """
create table public.things (id bigint primary key, data jsonb);
create function public.raises(message text, detail text) returns int language plpgsql as $$
begin raise exception using errcode = 'PGRST', message = message, detail = detail; end $$;
create function public.answers(status text, headers text) returns int language plpgsql as $$
begin
  perform set_config('response.status', status, true), set_config('response.headers', headers, true);
  return 1;
end $$;
grant all on public.things to service_role;
grant execute on all functions in schema public to service_role;
"""
READS = [
    (f"data->{MANY_DIGITS}=eq.1", 400, "22003"),
    ("data->99999999999=eq.1", 400, "22003"),
    (f"or=({'and(' * DEEP}id.eq.1{')' * DEEP})", 500, "54001"),
    (f"select={'things(' * DEEP}id{')' * DEEP}", 500, "54001"),
]
RAISED = [
    '{"status": 1e400, "headers": {}}',
    '{"status": 99999, "headers": {}}',
    '{"status": 100, "headers": {}}',
    '{"status": -1, "headers": {}}',
]
ANSWERS = [
    ("100", "[]", "PGRST112"),
    ("200", '[{"no name": "a"}]', "PGRST111"),
    ("200", '[{"": "a"}]', "PGRST111"),
    ("200", '[{"Content-Length": "9"}]', "PGRST111"),
    ("200", '[{"transfer-encoding": "chunked"}]', "PGRST111"),
]
JSON = [b"\xff", b'{"email": "\\ud800@b.c"}', b'{"data": {"a": NaN}}', b'{"data": {"a": 1e999}}', b"[" * 100_000]
NO_BROADCASTS = [
    '{"event": "\\ud800", "payload": {}}',
    '{"event": "bad", "payload": {"a": NaN}}',
    '{"event": "bad", "payload": {"a": 1e999}}',
    '{"event": "bad", "payload": "\\ud800"}',
]


@pytest.fixture
async def http(stack: Stack, connection: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[httpx.AsyncClient]:
    await connection.execute(SCHEMA)
    key = stack.keys.service_role_key
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers) as client:
        yield client


async def test_rest_refuses_what_no_number_and_no_stack_can_hold(http: httpx.AsyncClient) -> None:
    for query, status, code in READS:
        answer = await http.get(f"/rest/v1/things?{query}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), query[:40]
    answer = await http.get("/rest/v1/things", headers={"Range": f"0-{MANY_DIGITS}"})
    assert (answer.status_code, answer.text) == (200, "[]")
    answer = await http.get("/rest/v1/thi%0angs")
    assert (answer.status_code, answer.json()["code"]) == (404, "PGRST205")


async def test_sql_cannot_make_rest_answer_with_what_is_no_http(http: httpx.AsyncClient) -> None:
    message = '{"code": "A", "message": "b"}'
    for detail in RAISED:
        answer = await http.post("/rest/v1/rpc/raises", json={"message": message, "detail": detail})
        assert (answer.status_code, answer.json()["code"]) == (500, "PGRST121"), detail
    for status, headers, code in ANSWERS:
        answer = await http.post("/rest/v1/rpc/answers", json={"status": status, "headers": headers})
        assert (answer.status_code, answer.json()["code"]) == (500, code), headers


async def test_auth_and_storage_refuse_what_is_no_json(http: httpx.AsyncClient) -> None:
    for sent in JSON:
        for kind in ("application/json", "application/json; charset=nonsense"):
            answer = await http.post("/auth/v1/signup", content=sent, headers={"Content-Type": kind})
            assert (answer.status_code, answer.json()["error_code"]) == (400, "bad_json"), sent[:40]
            answer = await http.post("/storage/v1/bucket", content=sent, headers={"Content-Type": kind})
            assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequest"), sent[:40]
    answer = await http.post("/auth/v1/signup", json={"email": "a\x00@b.c", "password": "long enough"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "validation_failed")


async def test_a_key_with_a_line_break_is_no_key(http: httpx.AsyncClient) -> None:
    await http.post("/storage/v1/bucket", json={"name": "gen"})
    answer = await http.post("/storage/v1/object/gen/a%0ab", content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidKey")


async def test_a_broadcast_that_is_no_json_reaches_nobody(stack: Stack) -> None:
    """The speaker's version is 1.0.0 and the listener's 2.0.0: what one may say, the other must be able to read."""
    url = f"{stack.url}/realtime/v1/websocket?apikey={stack.keys.anon_key}&vsn="
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}2.0.0") as listener:
        await listener.send_json(["1", "1", "realtime:a", "phx_join", {"config": {}}])
        assert "ok" in (await listener.receive(timeout=10)).data
        async with session.ws_connect(f"{url}1.0.0") as speaker:
            await speaker.send_str(_frame("phx_join", '{"config": {}}'))
            assert "ok" in (await speaker.receive(timeout=10)).data
            for said in NO_BROADCASTS:
                await speaker.send_str(_frame("broadcast", said))
            await speaker.send_str(_frame("broadcast", '{"event": "good", "payload": {}}'))
            heard: Any = (await listener.receive(timeout=10)).data
            assert b"good" in heard


def _frame(event: str, payload: str) -> str:
    return f'{{"topic": "realtime:a", "ref": "1", "event": "{event}", "payload": {payload}}}'

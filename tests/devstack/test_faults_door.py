"""Promises of the door to the faults: it opens with the key only, and does what the faults do in process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
import httpx
import pytest

from devstack.faults import TOKEN_LIFE_S
from devstack.stack import Stack, open_stack

DOOR = "/devstack/v1/faults"
ROWS = "/rest/v1/headshot_sessions"
WITHIN_S = 30.0


@pytest.fixture
async def door(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {stack.admin_key}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/http"), ("POST", "/sockets")])
async def test_without_the_key_there_is_no_door(stack: Stack, method: str, path: str) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as stranger:
        for key in (None, "wrong", stack.keys.service_role_key, "é"):
            headers = {} if key is None else {"Authorization": f"Bearer {key}".encode()}
            answer = await stranger.request(method, DOOR + path, headers=headers, json={"kind": "reset"})
            assert (answer.status_code, answer.json()) == (404, {"message": "no Route matched with those values"})
    assert stack.faults.http == []


async def test_a_fault_is_switched_on_counted_and_ended(stack: Stack, door: httpx.AsyncClient) -> None:
    order = {"kind": "status", "path": "/rest/*", "nth": 2, "status": 503}
    assert (await door.post(f"{DOOR}/http", json=order)).json()["http"][0]["hits"] == 0
    async with httpx.AsyncClient(base_url=stack.url, headers={"apikey": stack.keys.secret_key}) as http:
        assert [(await http.get(ROWS)).status_code for _ in range(3)] == [200, 503, 200]
        shown = (await door.get(DOOR)).json()["http"][0]
        assert (shown["seen"], shown["hits"]) == (3, 1)
        await door.post(f"{DOOR}/http", json={"kind": "status", "times": None})
        assert (await http.get(ROWS)).status_code == 500
        assert (await door.delete(DOOR)).json()["http"] == []
        assert (await http.get(ROWS)).status_code == 200


async def test_the_switches_are_those_of_the_faults(stack: Stack, door: httpx.AsyncClient) -> None:
    order = {"realtime_muted": True, "subscribe_delay_s": 1.5, "token_life_s": -60, "seed": 7}
    assert (await door.patch(DOOR, json=order)).json() == {**order, "http": [], "events": [], "sockets": 0}
    faults = stack.faults
    assert (faults.realtime_muted, faults.subscribe_delay_s, faults.token_life_s, faults.seed) == (True, 1.5, -60, 7)
    assert (await door.delete(DOOR)).json()["realtime_muted"] is False


async def test_events_are_hurt_too(stack: Stack, door: httpx.AsyncClient) -> None:
    shown = (await door.post(f"{DOOR}/events", json={"kind": "duplicate", "topic": "realtime:a", "times": 3})).json()
    assert (shown["events"][0]["kind"], stack.faults.events[0].times) == ("duplicate", 3)


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/http", {"kind": "explode"}),
        ("/http", {}),
        ("/http", {"kind": "status", "status": "500"}),
        ("/http", {"kind": "status", "nth": True}),
        ("/http", {"kind": "status", "topic": "realtime:a"}),
        ("/http", {"kind": "status", "hits": 3}),
        ("/http", ["status"]),
        ("/events", {"kind": "status"}),
        ("/sockets", {"do": "explode"}),
        ("/sockets", {"do": "drop", "code": 70_000}),
        ("/postgres/restart", {}),
    ],
)
async def test_what_the_door_does_not_understand_is_refused_whole(
    stack: Stack, door: httpx.AsyncClient, path: str, order: Any
) -> None:
    answer = await door.post(DOOR + path, json=order)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert (stack.faults.http, stack.faults.events) == ([], [])


async def test_a_fault_that_would_break_the_stack_or_do_nothing_is_refused(
    stack: Stack, door: httpx.AsyncClient
) -> None:
    for wrong in ({"status": 100}, {"status": 700}, {"nth": 0}, {"times": -1}, {"chance": 5}, {"delay_s": -1}):
        answer = await door.post(f"{DOOR}/http", json={"kind": "status", **wrong})
        assert (answer.status_code, "is from" in answer.json()["message"]) == (400, True), wrong
    assert (await door.post(f"{DOOR}/http", json={"kind": "act_before"})).status_code == 400
    assert (await door.patch(DOOR, json={"token_life_s": 10**30})).status_code == 400
    assert (stack.faults.http, stack.faults.token_life_s) == ([], TOKEN_LIFE_S)


async def test_sockets_are_dropped_and_frozen_from_outside(stack: Stack, door: httpx.AsyncClient) -> None:
    url = f"{stack.url}/realtime/v1/websocket"
    key = {"apikey": stack.keys.anon_key}
    async with aiohttp.ClientSession() as session, session.ws_connect(url, params=key) as socket:
        assert (await door.post(f"{DOOR}/sockets", json={"do": "freeze"})).json()["sockets"] == 1
        assert (await door.post(f"{DOOR}/sockets", json={"do": "thaw"})).json()["sockets"] == 1
        assert (await door.post(f"{DOOR}/sockets", json={"do": "drop", "code": 1012})).json() == {"dropped": 1}
        ended = await socket.receive(timeout=WITHIN_S)
        assert (ended.type, ended.data) == (aiohttp.WSMsgType.CLOSE, 1012)


async def test_postgres_is_restarted_from_outside_and_every_service_answers_again() -> None:
    async with open_stack() as stack, httpx.AsyncClient(base_url=stack.url, timeout=WITHIN_S) as http:
        connection = await asyncpg.connect(stack.database_url)
        before = await connection.fetchval("select pg_postmaster_start_time()")
        key = {"Authorization": f"Bearer {stack.admin_key}"}
        assert (await http.post(f"{DOOR}/postgres/restart", headers=key)).status_code == 200
        assert connection.is_closed() or await connection.close(timeout=1) is None
        connection = await asyncpg.connect(stack.database_url)
        assert await connection.fetchval("select pg_postmaster_start_time()") > before
        headers = {"apikey": stack.keys.secret_key}
        for path in (ROWS, "/storage/v1/bucket"):
            assert (await http.get(path, headers=headers)).status_code == 200, path
        assert (await http.post("/auth/v1/signup", json={}, headers=headers)).status_code == 200
        await connection.execute("create table public.fresh (id int); grant select on public.fresh to service_role")
        assert (await http.get("/rest/v1/fresh", headers=headers)).status_code == 200
        await connection.close()

"""Promises of the faults: what is struck, what is not, and that a seed strikes alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import httpx
import pytest

from devstack.faults import Aim, EventFault, FaultImpossibleError, Faults, HttpFault
from devstack.stack import Stack

ROWS = "/rest/v1/headshot_sessions"
WITHIN_S = 10.0


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"apikey": stack.keys.service_role_key}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=WITHIN_S) as client:
        yield client


def heard(faults: Faults, count: int, topic: str = "realtime:a") -> list[int]:
    """Which of `count` events arrive at once, and how often."""
    arrived: list[int] = []
    for number in range(count):
        faults.pass_on(topic, lambda number=number: arrived.append(number))  # type: ignore[misc]
    return arrived


@pytest.mark.parametrize(
    ("aim", "struck"),
    [
        (Aim(), [1]),
        (Aim(nth=3), [3]),
        (Aim(nth=2, times=2), [2, 3]),
        (Aim(nth=4, times=None), [4, 5, 6]),
        (Aim(chance=0, times=None), []),
    ],
)
def test_the_nth_is_struck_and_as_many_after_it_as_asked(aim: Aim, struck: list[int]) -> None:
    faults = Faults()
    fault = faults.hurt(HttpFault("status", nth=aim.nth, times=aim.times, chance=aim.chance))
    assert [n for n in range(1, 7) if faults.http_fault("GET", ROWS)] == struck
    assert (fault.seen, fault.hits) == (6, len(struck))


def test_only_what_matches_is_counted() -> None:
    faults = Faults()
    fault = faults.hurt(HttpFault("status", path="/rest/v1/rpc/claim_*", method="POST", nth=2))
    calls = [("POST", "/rest/v1/rpc/claim_sessions"), ("GET", "/rest/v1/rpc/claim_sessions"), ("POST", ROWS)]
    assert [faults.http_fault(*call) for call in calls] == [None, None, None]
    assert fault.seen == 1
    assert faults.http_fault(*calls[0]) is fault


def test_the_first_fault_that_strikes_is_the_only_one() -> None:
    faults = Faults()
    first, second = faults.hurt(HttpFault("reset")), faults.hurt(HttpFault("status"))
    assert [faults.http_fault("GET", ROWS) for _ in range(3)] == [first, second, None]


def test_one_seed_strikes_alike_and_another_does_not() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = Faults(seed=seed)
        faults.hurt(HttpFault("status", times=None, chance=0.5))
        return [faults.http_fault("GET", ROWS) is not None for _ in range(64)]

    assert strikes(7) == strikes(7)
    assert strikes(7) != strikes(8)
    assert 16 < sum(strikes(7)) < 48


def test_events_are_lost_doubled_and_late() -> None:
    faults = Faults()
    faults.hurt_events(EventFault("lose", nth=2))
    faults.hurt_events(EventFault("duplicate", nth=2))
    assert heard(faults, 4) == [0, 2, 2, 3]


async def test_a_late_event_comes_behind_later_ones() -> None:
    faults = Faults()
    faults.hurt_events(EventFault("delay", delay_s=0.01))
    arrived: asyncio.Queue[int] = asyncio.Queue()
    for number in range(2):
        faults.pass_on("realtime:a", lambda number=number: arrived.put_nowait(number))  # type: ignore[misc]
    async with asyncio.timeout(WITHIN_S):
        assert [await arrived.get() for _ in range(2)] == [1, 0]


def test_events_of_other_topics_are_left_alone() -> None:
    faults = Faults()
    faults.hurt_events(EventFault("lose", topic="realtime:b*", times=None))
    assert heard(faults, 2) == [0, 1]
    assert heard(faults, 2, "realtime:b1") == []


def test_healing_ends_everything() -> None:
    faults = Faults(realtime_muted=True, subscribe_delay_s=5, token_life_s=-1)
    faults.hurt(HttpFault("status", times=None))
    faults.hurt_events(EventFault("lose", times=None))
    faults.freeze_sockets()
    faults.heal()
    assert faults.http_fault("GET", ROWS) is None
    assert heard(faults, 1) == [0]
    assert (faults.realtime_muted, faults.subscribe_delay_s, faults.token_life_s) == (False, 0.2, 3600)
    assert faults._thawed.is_set()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_status_is_answered_without_the_service(stack: Stack, http: httpx.AsyncClient, status: int) -> None:
    stack.faults.hurt(HttpFault("status", path="/rest/*", nth=2, status=status, retry_after_s=3))
    assert [(await http.get(ROWS)).status_code for _ in range(3)] == [200, status, 200]
    stack.faults.hurt(HttpFault("status", status=status, retry_after_s=3))
    answer = await http.get(ROWS)
    assert (list(answer.json()), answer.headers["Retry-After"]) == (["message"], "3")


async def test_a_reset_reaches_no_service(
    stack: Stack, http: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    stack.faults.hurt(HttpFault("reset", method="POST"))
    with pytest.raises(httpx.TransportError):
        await http.post("/auth/v1/signup", json={})
    assert await connection.fetchval("select count(*) from auth.users") == 0


async def test_of_a_lost_answer_the_work_was_done(
    stack: Stack, http: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    stack.faults.hurt(HttpFault("lost_answer", path="/auth/v1/signup"))
    with pytest.raises(httpx.TransportError):
        await http.post("/auth/v1/signup", json={})
    assert await connection.fetchval("select count(*) from auth.users") == 1
    assert (await http.post("/auth/v1/signup", json={})).status_code == 200


async def test_a_late_answer_is_whole(stack: Stack, http: httpx.AsyncClient) -> None:
    stack.faults.hurt(HttpFault("late", delay_s=0.2))
    started = time.monotonic()
    assert (await http.get(ROWS)).json() == []
    assert time.monotonic() - started >= 0.2


async def test_a_hanging_request_ends_when_the_client_gives_up(stack: Stack, http: httpx.AsyncClient) -> None:
    stack.faults.hurt(HttpFault("hang"))
    with pytest.raises(httpx.ReadTimeout):
        await http.get(ROWS, timeout=0.2)
    assert (await http.get(ROWS)).status_code == 200


async def test_an_expired_token_is_refused_in_each_services_own_words(stack: Stack, http: httpx.AsyncClient) -> None:
    stack.faults.hurt(HttpFault("expired_token", times=3))
    rest, storage, auth = [await http.get(path) for path in (ROWS, "/storage/v1/bucket", "/auth/v1/user")]
    assert (rest.status_code, rest.json()["code"], rest.json()["message"]) == (401, "PGRST303", "JWT expired")
    assert storage.json()["message"] == '"exp" claim timestamp check failed'
    assert (auth.status_code, auth.json()["error_code"]) == (403, "bad_jwt")
    assert (await http.get(ROWS)).status_code == 200


async def test_the_page_and_the_rest_of_the_world_are_not_hurt(stack: Stack, http: httpx.AsyncClient) -> None:
    fault = stack.faults.hurt(HttpFault("reset", times=None))
    assert (await http.get("/functions/v1/hello")).status_code == 404
    assert fault.seen == 0


async def _beat(socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.send_json({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"})


def _websocket(session: aiohttp.ClientSession, stack: Stack) -> aiohttp.client._WSRequestContextManager:
    return session.ws_connect(f"{stack.url}/realtime/v1/websocket", params={"apikey": stack.keys.anon_key})


@pytest.mark.parametrize("code", [None, 1001, 1012])
async def test_a_dropped_socket_ends_with_or_without_a_word(stack: Stack, code: int | None) -> None:
    async with aiohttp.ClientSession() as session, _websocket(session, stack) as socket:
        await _beat(socket)
        await socket.receive_json(timeout=WITHIN_S)
        assert stack.faults.drop_sockets(code) == 1
        ended = await socket.receive(timeout=WITHIN_S)
        if code is not None:
            assert (ended.type, ended.data) == (aiohttp.WSMsgType.CLOSE, code)
        assert socket.closed
        async with _websocket(session, stack) as again:
            await _beat(again)
            assert (await again.receive_json(timeout=WITHIN_S))["event"] == "phx_reply"


async def test_a_frozen_socket_is_open_and_silent_until_it_thaws(stack: Stack) -> None:
    async with aiohttp.ClientSession() as session, _websocket(session, stack) as socket:
        await _beat(socket)
        await socket.receive_json(timeout=WITHIN_S)
        stack.faults.freeze_sockets()
        await _beat(socket)
        await socket.ping()
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)
        assert not socket.closed
        stack.faults.thaw_sockets()
        assert (await socket.receive_json(timeout=WITHIN_S))["event"] == "phx_reply"


async def test_a_database_that_is_not_the_stacks_own_is_not_restarted(stack: Stack) -> None:
    with pytest.raises(FaultImpossibleError, match="given its database"):
        await stack.faults.restart_postgres()

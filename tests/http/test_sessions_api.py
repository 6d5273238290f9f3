"""The stores' API over real sockets, on a real database: once, paid once, and nobody else's."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from devstack.stack import Stack
from listener.http.session_forms import BODY_BYTES, MOST_SESSIONS
from tests.support.relay import open_relay
from tests.support.stores import COAT, TRYON, Street, street_on

TABLE = "public.store_generation_sessions"


@pytest.fixture
async def street(stack: Stack) -> AsyncIterator[Street]:
    async with street_on(stack, origins=("https://shop.example",)) as opened:
        yield opened


async def test_a_session_is_made_and_paid_once_however_often_it_is_asked_for(
    street: Street, connection: asyncpg.Connection[Any]
) -> None:
    store = await street.store(credits=10)
    first = await store.submit({**COAT, "task_id": "order-7", "version": 1, "created_at": "2026-11-20T10:00:00Z"}, "k1")
    assert (first.status, first.data["status"], first.data["error"]) == (201, "queued", None)
    assert first.headers["Location"] == f"/api/sessions/{first.data['id']}"
    again = await store.submit({**COAT, "task_id": "order-7", "version": 1}, "k1")
    assert (again.status, again.data["id"]) == (200, first.data["id"])
    other_key = await store.submit({**COAT, "task_id": "order-7"}, "k2")
    assert (other_key.status, other_key.data["id"]) == (200, first.data["id"]), "the task is the same one"
    at_once = await asyncio.gather(*(store.submit(COAT, "k3") for _ in range(5)))
    assert sorted(one.status for one in at_once) == [200, 200, 200, 200, 201]
    assert len({one.data["id"] for one in at_once}) == 1
    assert (await store.submit({**COAT, "prompt": "another coat"}, "k3")).code == "IDEMPOTENCY_KEY_REUSED"
    assert await store.credits() == 8
    assert await connection.fetchval(f"select count(*) from {TABLE}") == 2
    assert await connection.fetch("select * from listener.invariants") == []


async def test_a_store_finds_its_session_by_our_id_and_by_its_own_and_nobody_else_finds_it(street: Street) -> None:
    ours, theirs = await street.store(), await street.store()
    own_id = str(uuid4())
    made = await ours.submit({**COAT, "session_id": own_id, "task_id": "order-7", "request_id": "r-1"})
    session = made.data["id"]
    for name in (session, session.upper(), own_id, "order-7"):
        assert (await ours.get(f"/api/sessions/{name}")).data["id"] == session
    for name in (session, own_id, "order-7", str(uuid4())):
        for answer in (await theirs.get(f"/api/sessions/{name}"), await theirs.cancel(name)):
            assert (answer.status, answer.code) == (404, "SESSION_NOT_FOUND")
    same_name = await theirs.submit({**COAT, "session_id": own_id})
    assert same_name.status == 201
    assert same_name.data["id"] != session
    stolen = await theirs.submit({**COAT, "store_id": str(ours.id)})
    assert (stolen.status, stolen.code) == (403, "OWNER_MISMATCH")
    assert (await ours.credits(), await theirs.credits()) == (9, 9)


async def test_a_waiting_session_is_cancelled_with_its_credits_back_and_a_finished_one_is_not(
    street: Street, connection: asyncpg.Connection[Any]
) -> None:
    store = await street.store()
    session = (await store.submit()).data["id"]
    assert (await store.cancel(session)).data == {"id": session, "outcome": "cancelled", "refund": "all"}
    assert (await store.cancel(session)).data["outcome"] == "already"
    assert ((await store.get(f"/api/sessions/{session}")).data["status"], await store.credits()) == ("cancelled", 10)
    failed = (await store.submit()).data["id"]
    await connection.execute(
        "update listener.sessions set status = 'failed', error_code = 'time_limit', finished_at = now() "
        "where row_id = $1",
        failed,
    )
    refused = await store.cancel(failed)
    assert (refused.status, refused.code) == (409, "SESSION_FINISHED")


async def test_the_name_of_a_session_that_was_deleted_makes_no_other(
    street: Street, connection: asyncpg.Connection[Any]
) -> None:
    store = await street.store()
    assert (await store.submit(COAT | {"task_id": "order-1"})).status == 201
    await connection.execute("delete from public.store_generation_sessions")
    for again in (
        await store.submit(COAT | {"task_id": "order-1"}),
        await store.submit([COAT | {"task_id": "order-1"}]),
    ):
        one = again.data[0] if again.status == 207 else again.body | {"status": again.status}
        assert (one["status"], one["error"]["code"]) == (409, "SESSION_ID_USED")
    assert await store.credits() == 10


STRANGERS = (
    (None, "API_KEY_MISSING"),
    ("Basic eDp5", "API_KEY_MISSING"),
    ("Bearer ", "API_KEY_MISSING"),
    ("Bearer nonsense", "API_KEY_INVALID"),
    ("Bearer lsk_" + "A" * 43, "API_KEY_INVALID"),
    ("Bearer lsk_" + "ä" * 43, "API_KEY_INVALID"),
)


async def test_who_has_no_key_is_told_401_and_nothing_else(street: Street) -> None:
    for authorization, code in STRANGERS:
        headers = {"Authorization": authorization} if authorization else {}
        for method, path in (("POST", TRYON), ("GET", "/api/credits"), ("GET", f"/api/sessions/{uuid4()}")):
            async with street.http.request(method, path, headers=headers, json=COAT) as answer:
                body = await answer.json()
                assert (answer.status, body["error"]["code"]) == (401, code)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert "RateLimit-Remaining" not in answer.headers


async def test_a_key_has_its_requests_per_minute_and_a_revoked_one_none(street: Street) -> None:
    store = await street.store(per_minute=2)
    first, second, third = [await store.get("/api/credits") for _ in range(3)]
    assert [one.headers["RateLimit-Remaining"] for one in (first, second, third)] == ["1", "0", "0"]
    assert (first.headers["RateLimit-Limit"], 0 < int(first.headers["RateLimit-Reset"]) <= 65) == ("2", True)
    assert (third.status, third.code) == (429, "RATE_LIMITED")
    assert third.headers["Retry-After"] == str(third.body["error"]["details"]["retry_after_s"])
    assert (await street.operator.stores.keys(store.id))[0].refused_today == 1
    assert await street.operator.stores.revoke_key(store.key_id) == "applied"
    revoked = await store.get("/api/credits")
    assert (revoked.status, revoked.code) == (401, "API_KEY_INVALID")


async def test_an_array_is_answered_item_by_item_and_the_same_array_again_makes_nothing(street: Street) -> None:
    store = await street.store(credits=10)
    payloads = [
        COAT,
        {**COAT, "status": "completed"},
        "no object",
        {**COAT, "channel": "b2c"},
        {**COAT, "task_id": "t"},
    ]
    answer = await store.submit(payloads, "batch")
    assert answer.status == 207
    assert [one["status"] for one in answer.data] == [201, 422, 422, 422, 201]
    assert [one["index"] for one in answer.data] == [0, 1, 2, 3, 4]
    assert answer.data[1]["error"]["details"]["fields"][0]["field"] == "status"
    assert answer.data[3]["error"]["details"]["fields"][0]["rule"] == "value_error"
    assert await store.credits() == 8
    again = await store.submit(payloads, "batch")
    assert [one["status"] for one in again.data] == [200, 422, 422, 422, 200]
    assert await store.credits() == 8
    twins = await store.submit([{**COAT, "task_id": "twin"}, {**COAT, "task_id": "twin"}])
    assert [one["status"] for one in twins.data] == [201, 200]
    assert len({one["session"]["id"] for one in twins.data}) == 1
    for count in (0, MOST_SESSIONS + 1):
        assert (await store.submit([COAT] * count)).code == "TOO_MANY_SESSIONS"


async def test_who_cannot_pay_is_told_402_and_in_an_array_the_first_ones_are_paid(
    street: Street, connection: asyncpg.Connection[Any]
) -> None:
    store = await street.store(credits=10)
    many = await store.submit([COAT] * 12)
    assert [one["status"] for one in many.data] == [201] * 10 + [402] * 2
    one = await store.submit()
    assert (one.status, one.code) == (402, "CREDITS_INSUFFICIENT")
    assert await connection.fetchval(f"select count(*) from {TABLE}") == 10
    assert await connection.fetch("select * from listener.invariants") == []
    await street.operator.grant(store.id, 5, "more", "test")
    await connection.execute("update listener.plans set inserts_per_minute = 11 where plan = 'free'")
    assert (await store.submit()).status == 201
    limited = await store.submit()
    assert (limited.status, limited.code) == (429, "RATE_LIMITED")
    assert 0 < int(limited.headers["Retry-After"]) <= 60


BODIES: dict[str, tuple[int, str, dict[str, str], bytes]] = {
    "no JSON": (400, "MALFORMED_JSON", {}, b"{"),
    "a number that JSON has not": (400, "MALFORMED_JSON", {}, b'{"prompt": NaN}'),
    "a number beyond all": (400, "MALFORMED_JSON", {}, b'{"version": 1e999}'),
    "half a character": (400, "MALFORMED_JSON", {}, b'{"prompt": "\\ud800"}'),
    "too deep": (400, "MALFORMED_JSON", {}, b"[" * 100_000),
    "another type": (415, "UNSUPPORTED_MEDIA_TYPE", {"Content-Type": "text/plain"}, b"{}"),
    "encoded": (415, "UNSUPPORTED_MEDIA_TYPE", {"Content-Encoding": "gzip"}, gzip.compress(b"{}")),
    "too large": (413, "PAYLOAD_TOO_LARGE", {}, b" " * (BODY_BYTES + 1)),
    "a character that no text may have": (
        422,
        "INVALID_PARAMS",
        {},
        b'{"image_urls": ["https://a.b"], "prompt": "\\u0000"}',
    ),
    "a state column": (422, "INVALID_PARAMS", {}, json.dumps({**COAT, "result": {}}).encode()),
    "a number for a list": (422, "INVALID_PARAMS", {}, b'{"image_urls": 7}'),
    "a version that nobody knows": (422, "INVALID_PARAMS", {}, json.dumps({**COAT, "version": 2}).encode()),
    "a name that is too long": (422, "INVALID_PARAMS", {}, json.dumps({**COAT, "task_id": "t" * 129}).encode()),
    "nothing": (422, "INVALID_PARAMS", {}, b"{}"),
    "a name that is none": (422, "INVALID_PARAMS", {}, json.dumps({**COAT, "session_id": 7}).encode()),
    "a key that is none": (400, "IDEMPOTENCY_KEY_INVALID", {"Idempotency-Key": "ä"}, json.dumps(COAT).encode()),
}


async def test_what_cannot_be_a_session_is_refused_by_name_costs_nothing_and_is_not_repeated(street: Street) -> None:
    store = await street.store()
    for name, (status, code, headers, body) in BODIES.items():
        answer = await store.ask("POST", TRYON, {"Content-Type": "application/json"} | headers, data=io.BytesIO(body))
        assert (answer.status, answer.code) == (status, code), name
        assert set(answer.body["error"]) == {"code", "message", "details"}
        assert code != "INVALID_PARAMS" or answer.body["error"]["details"]["fields"], f"{name}: no field is named"

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    streamed = await store.ask("POST", TRYON, {"Content-Type": "application/json"}, data=endless())
    assert (streamed.status, streamed.code) == (413, "PAYLOAD_TOO_LARGE")
    unknown = await store.submit(path="/api/sessions/poem")
    assert (unknown.status, unknown.body["error"]["details"]) == (404, {"kinds": ["avatar", "tryon"]})
    for path, methods in (
        ("/api/credits", {"GET", "HEAD"}),
        (TRYON, {"GET", "HEAD", "POST"}),
        (f"{TRYON}/cancel", {"POST"}),
    ):
        refused = await store.ask("DELETE", path)
        assert (refused.status, refused.code) == (405, "METHOD_NOT_ALLOWED")
        assert {*refused.headers["Allow"].split(",")} == methods
    assert await store.credits() == 10


async def test_requests_are_named_and_only_pages_of_the_list_may_call(
    street: Street, connection: asyncpg.Connection[Any]
) -> None:
    store = await street.store()
    made = await store.ask("POST", TRYON, {"X-Request-Id": "shop-42", "Origin": "https://shop.example"}, json=COAT)
    assert (made.headers["X-Request-Id"], made.body["meta"]) == ("shop-42", {"request_id": "shop-42"})
    assert await connection.fetchval("select request_id from listener.sessions") == "shop-42"
    assert made.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with street.http.options(TRYON, headers={"Origin": "https://shop.example"} | asked) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "https://shop.example")
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    for origin in ("https://evil.example", "https://shop.example.evil.example", "null"):
        async with street.http.options(TRYON, headers={"Origin": origin} | asked) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers
    strange = await store.ask("GET", "/api/credits", {"X-Request-Id": "two words"})
    assert strange.headers["X-Request-Id"] != "two words"


async def test_a_project_that_is_away_is_503_with_the_time_to_come_again(stack: Stack) -> None:
    async with open_relay(stack.url) as relay, street_on(stack, relay.url) as street:
        store = await street.store()
        assert await store.credits() == 10
        relay.refusing = True
        relay.cut()
        away = await store.submit()
        assert (away.status, away.code, away.headers["Retry-After"]) == (503, "TEMPORARILY_UNAVAILABLE", "2")
        relay.refusing = False
        assert (await store.submit()).status == 201


async def test_a_key_is_nowhere_but_with_its_holder(street: Street, connection: asyncpg.Connection[Any]) -> None:
    store = await street.store()
    dumped = await connection.fetch("select api_keys::text from listener.api_keys as api_keys")
    assert len(dumped) == 1
    assert store.key not in str(dumped)
    assert store.key[12:] not in str(dumped)
    async with aiohttp.ClientSession() as stranger, stranger.get(f"{street.url}/api/credits?key={store.key}") as answer:
        assert answer.status == 401

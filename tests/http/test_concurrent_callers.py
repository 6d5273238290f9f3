"""Many callers of the stores' API at once, each with a key of his own: nobody sees another's, limits hold exactly."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import asyncpg

from devstack.stack import Stack
from tests.support.stores import COAT, StoreCaller, street_on

CALLERS = 50
EACH = 1
CREDITS = 10
PER_MINUTE, ASKED = 4, 12


async def test_fifty_callers_at_once_each_get_their_own_answers_and_pay_for_their_own(
    stack: Stack, connection: asyncpg.Connection[Any]
) -> None:
    async with street_on(stack) as street:
        stores = await asyncio.gather(*(street.store(CREDITS) for _ in range(CALLERS)))
        told = await asyncio.gather(*(_shop(store, number) for number, store in enumerate(stores)))
        assert len({session for sessions in told for session in sessions}) == CALLERS * EACH
        rows = await connection.fetch("select id, store_id, prompt from public.store_generation_sessions")
        owners = {str(row["id"]): (row["store_id"], row["prompt"]) for row in rows}
        for number, (store, sessions) in enumerate(zip(stores, told, strict=True)):
            assert [owners[session] for session in sessions] == [(store.id, f"coat {number}.{n}") for n in range(EACH)]
        assert len(owners) == CALLERS * EACH, "what was asked for again is the same session"
    assert await connection.fetch("select * from listener.invariants") == []


async def _shop(store: StoreCaller, number: int) -> list[str]:
    """Submit each session twice at once, read them, and be told of no others; the ids."""
    ids = []
    for order in range(EACH):
        payload = {**COAT, "prompt": f"coat {number}.{order}"}
        first, again = await asyncio.gather(*(store.submit(payload, f"order-{order}") for _ in range(2)))
        assert sorted((first.status, again.status)) == [200, 201]
        assert first.data["id"] == again.data["id"]
        shown = await store.get(f"/api/sessions/{first.data['id']}")
        assert (shown.status, shown.data["id"], shown.data["status"]) == (200, first.data["id"], "queued")
        assert shown.body["meta"]["request_id"] == shown.headers["X-Request-Id"]
        ids.append(str(first.data["id"]))
    assert await store.credits() == CREDITS - EACH
    return ids


async def test_a_keys_limit_holds_to_the_request_however_many_come_at_once(stack: Stack) -> None:
    async with street_on(stack) as street:
        stores = await asyncio.gather(*(street.store(per_minute=PER_MINUTE) for _ in range(10)))
        asked = [store.get("/api/credits") for store in stores for _ in range(ASKED)]
        answers = await asyncio.gather(*asked)
    for number in range(len(stores)):
        own = answers[number * ASKED : (number + 1) * ASKED]
        assert Counter(one.status for one in own) == {200: PER_MINUTE, 429: ASKED - PER_MINUTE}
        passed = [int(one.headers["RateLimit-Remaining"]) for one in own if one.status == 200]
        assert sorted(passed) == list(range(PER_MINUTE)), "each of them was told another rest"
        assert all(int(one.headers["Retry-After"]) >= 1 for one in own if one.status == 429)

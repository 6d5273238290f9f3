"""Limits and credits as an app meets them through supabase-py: 402, 429 with Retry-After, the queue, each its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from postgrest.exceptions import APIError
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from devstack.stack import Stack

TABLE = "headshot_sessions"


class App:
    """A signed-in user's client, and the headers of its last answer."""

    def __init__(self) -> None:
        self.headers: httpx.Headers = httpx.Headers()
        self.status = 0
        self.client: AsyncClient

    async def heard(self, answer: httpx.Response) -> None:
        """Keep what an answer's error object does not carry."""
        self.headers, self.status = answer.headers, answer.status_code

    async def insert(self, count: int = 1) -> list[str]:
        """Insert rows in one call."""
        rows: Any = [{"prompt": "a face"} for _ in range(count)]
        inserted: Any = (await self.client.table(TABLE).insert(rows).execute()).data
        return [row["id"] for row in inserted]

    async def refused(self, count: int = 1) -> APIError:
        """Insert and expect an error."""
        with pytest.raises(APIError) as refused:
            await self.insert(count)
        return refused.value

    async def ask(self, function: str, **arguments: Any) -> Any:
        """Call a function."""
        return (await self.client.rpc(function, arguments).execute()).data


@asynccontextmanager
async def signed_in(stack: Stack) -> AsyncIterator[App]:
    app = App()
    async with httpx.AsyncClient(http2=False, timeout=20, event_hooks={"response": [app.heard]}) as http:
        app.client = await acreate_client(stack.url, stack.keys.anon_key, AsyncClientOptions(httpx_client=http))
        await app.client.auth.sign_in_anonymously()
        yield app
        await app.client.auth.sign_out({"scope": "local"})


@pytest.fixture
async def apps(stack: Stack) -> AsyncIterator[tuple[App, App]]:
    """Two users."""
    async with AsyncExitStack() as opened:
        yield (
            await opened.enter_async_context(signed_in(stack)),
            await opened.enter_async_context(signed_in(stack)),
        )


async def test_a_rate_limit_answers_429_and_when_to_come_again(
    apps: tuple[App, App], connection: asyncpg.Connection[asyncpg.Record]
) -> None:
    await connection.execute("update listener.plans set inserts_per_minute = 2 where plan = 'free'")
    app, other = apps
    await app.insert(2)
    refused = await app.refused()
    assert (refused.code, refused.message) == ("PT429", "rate_limited")
    assert app.status == 429
    assert 55 <= int(app.headers["Retry-After"]) <= 60
    assert await app.ask("credit_balance") == 8
    assert len(await other.insert(2)) == 2


async def test_who_cannot_pay_is_answered_402(apps: tuple[App, App]) -> None:
    app, other = apps
    refused = await app.refused(11)
    assert (refused.code, refused.message, app.status) == ("PT402", "credits_insufficient", 402)
    assert "Retry-After" not in app.headers
    assert await app.ask("credit_balance") == 10
    assert len(await other.insert(10)) == 10


async def test_each_user_asks_and_cancels_only_his_own(apps: tuple[App, App]) -> None:
    app, other = apps
    await app.insert(3)
    (row,) = await other.insert()
    answer = await other.ask("queue_status", p_row_id=row)
    assert (answer["status"], answer["position"], answer["ahead"]) == ("queued", 2, 1)
    assert (answer["estimate_s"], answer["reason"]) == (None, "no_worker")
    for function in ("queue_status", "cancel_session"):
        with pytest.raises(APIError) as refused:
            await app.ask(function, p_row_id=row)
        assert (refused.value.code, app.status) == ("SL002", 400)
    assert await other.ask("cancel_session", p_row_id=row) == {"outcome": "cancelled", "refund": "all"}
    assert (await other.ask("queue_status", p_row_id=row))["reason"] == "finished"
    assert (await app.ask("credit_balance"), await other.ask("credit_balance")) == (7, 10)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("set_plan", {"p_owner": "00000000-0000-0000-0000-000000000001", "p_plan": "paid"}),
        ("acquire_permits", {"p_worker": "00000000-0000-0000-0000-000000000001", "p_kind": "headshot", "p_count": 1}),
    ],
)
async def test_a_user_may_not_call_what_is_not_his(apps: tuple[App, App], function: str, arguments: Any) -> None:
    app, _ = apps
    with pytest.raises(APIError) as refused:
        await app.ask(function, **arguments)
    assert (refused.value.code, app.status) == ("42501", 403)

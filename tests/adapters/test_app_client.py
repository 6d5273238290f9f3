"""What a person reads when the project refuses what an app asks."""

from __future__ import annotations

import asyncpg
import pytest

from devstack.stack import Stack
from listener.adapters.app_client import AppAccess, NoCreditsError, RateLimitedError, open_app


async def refusal(stack: Stack) -> str:
    async with open_app(AppAccess(stack.url, stack.keys.anon_key)) as app:
        for _ in range(3):
            await app.insert({"prompt": "a face"})
    raise AssertionError("nothing was refused")


async def test_who_asks_too_often_reads_when_to_come_again(
    stack: Stack, connection: asyncpg.Connection[asyncpg.Record]
) -> None:
    await connection.execute("update listener.plans set inserts_per_minute = 2 where plan = 'free'")
    with pytest.raises(
        RateLimitedError, match=r"^Your plan allows no more sessions for now\. Try again in (60|5\d) s\.$"
    ):
        await refusal(stack)


async def test_who_has_no_credits_reads_so(stack: Stack, connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.execute("update listener.plans set welcome_credits = 2 where plan = 'free'")
    with pytest.raises(NoCreditsError, match="no credits left"):
        await refusal(stack)

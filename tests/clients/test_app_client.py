"""What `listener submit` builds on: an app's side of a session in Python, and its words when the project refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from listener.adapters.app_client import AppAccess, NoCreditsError, UnreachableError, open_app
from tests.support.target import Target


@pytest.fixture
async def no_welcome(books: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[None]:
    """New users get nothing, until the test is over."""
    credits = await books.fetchval("select welcome_credits from listener.plans where plan = 'free'")
    await books.execute("update listener.plans set welcome_credits = 0 where plan = 'free'")
    yield
    await books.execute("update listener.plans set welcome_credits = $1 where plan = 'free'", credits)


@pytest.mark.usefixtures("no_welcome")
async def test_without_credits_the_insert_is_refused_in_words(project: Target) -> None:
    with pytest.raises(NoCreditsError, match="no credits left"):
        async with open_app(AppAccess(project.url, project.anon_key)) as app:
            await app.insert({"prompt": "unpayable"})


async def test_a_project_that_does_not_answer_is_named(unused_tcp_port: int) -> None:
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{unused_tcp_port} does not answer"):
        async with open_app(AppAccess(f"http://127.0.0.1:{unused_tcp_port}", "key")):
            pass

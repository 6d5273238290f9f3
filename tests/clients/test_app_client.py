"""What `listener submit` builds on: the app's side of a session in Python, and what it says when the project refuses."""

from __future__ import annotations

import asyncpg
import pytest

from listener.adapters.app_client import AppAccess, NoCreditsError, UnreachableError, open_app
from tests.support.project import Project


async def test_without_credits_the_insert_is_refused_in_words(project: Project) -> None:
    connection = await asyncpg.connect(project.db_url)
    try:
        await connection.execute("update listener.plans set welcome_credits = 0 where plan = 'free'")
        with pytest.raises(NoCreditsError, match="no credits left"):
            async with open_app(AppAccess(project.url, project.anon_key)) as app:
                await app.insert({"prompt": "unpayable"})
    finally:
        await connection.execute("update listener.plans set welcome_credits = 10 where plan = 'free'")
        await connection.close()


async def test_a_project_that_does_not_answer_is_named(unused_tcp_port: int) -> None:
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{unused_tcp_port} does not answer"):
        async with open_app(AppAccess(f"http://127.0.0.1:{unused_tcp_port}", "key")):
            pass

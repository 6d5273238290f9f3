"""A real worker with OpenAI's moderation before it: refused, let pass, and away for a while."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from devstack.stack import Stack
from tests.moderation.openai_server import ModerationServer, failing, moderation_server
from tests.support.app import insert, signed_in, until_terminal
from tests.support.worker import running_worker


def asking(server: ModerationServer, **settings: str) -> dict[str, str]:
    """The settings of a worker that asks this server."""
    return {
        "LISTENER_MODERATION": "openai",
        "OPENAI_API_KEY": "sk-test-0123456789",
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_MAX_RETRIES": "0",
        **settings,
    }


@pytest.mark.slow
async def test_sessions_wait_while_nobody_can_judge_and_are_done_when_somebody_can(
    stack: Stack, connection: asyncpg.Connection
) -> None:
    client = await signed_in(stack)
    async with moderation_server() as server, running_worker(stack, **asking(server)) as worker:
        server.flagged = {"flagme": {"violence"}}
        server.always = failing(500)
        ids = [await insert(client, f"portrait {n}") for n in range(3)]
        opened = await worker.until_logged("circuit_opened", 60)
        assert opened["dependency"] == "moderation"
        server.always = None
        ids.append(await insert(client, "flagme in a garden"))
        rows = await asyncio.gather(*(until_terminal(client, row_id) for row_id in ids))
        assert [row["status"] for row in rows] == ["completed"] * 3 + ["failed"]
        assert rows[-1]["error_code"] == "content_rejected"
        assert rows[-1]["error_details"]["categories"] == ["violence"]
        assert worker.logged("circuit_closed")
    entries = dict(await connection.fetch("select entry, count(*) from listener.ledger group by entry"))
    assert (entries["charge"], entries["refund"]) == (4, 1)
    assert await connection.fetch("select * from listener.invariants") == []


async def test_an_open_policy_draws_what_nobody_could_judge(stack: Stack) -> None:
    client = await signed_in(stack)
    async with moderation_server() as server:
        server.always = failing(401)
        async with running_worker(stack, **asking(server, LISTENER_MODERATION_WHEN_DOWN="open")) as worker:
            row = await until_terminal(client, await insert(client))
            assert row["status"] == "completed"
            assert worker.logged("moderation_down")[0]["let_pass"] is True

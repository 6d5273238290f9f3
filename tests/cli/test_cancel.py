"""An owner's cancel reaches what runs in a whole worker, however long its heartbeats are apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg

from devstack.stack import Stack
from tests.support.app import insert, signed_in, until_row, until_terminal
from tests.support.generators import install
from tests.support.worker import running_worker

SOON_S = 6.0
"""Two seconds on a quiet machine; a heartbeat comes after forty, and this generator reports no step."""


async def test_a_generation_without_steps_is_cancelled_between_two_heartbeats(
    stack: Stack, connection: asyncpg.Connection[Any], tmp_path: Path
) -> None:
    grey = install(tmp_path)
    grey.on("hold")
    client = await signed_in(stack)
    settings = {"LISTENER_SOURCES": "sweep", "LISTENER_SWEEP_S": "0.3", "LISTENER_LEASE_S": "120"}
    async with running_worker(stack, **settings, **grey.settings):
        row_id = await insert(client)
        await until_row(client, row_id, lambda row: row["status"] == "processing")
        await client.rpc("cancel_session", {"p_row_id": row_id}).execute()
        assert (await until_terminal(client, row_id, within_s=20))["status"] == "cancelled"
    took = "select extract(epoch from finished_at - cancel_requested_at)::float8 from listener.sessions"
    assert await connection.fetchval(took) < SOON_S

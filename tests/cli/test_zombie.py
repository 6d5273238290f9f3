"""A worker that slept longer than its lease: it stops its own attempts before it speaks, and changes nothing."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import asyncpg

from devstack.stack import Stack
from tests.support.app import insert, row, signed_in, until_row, until_terminal
from tests.support.generators import install
from tests.support.probing import until
from tests.support.worker import running_worker

BRISK = {"LISTENER_SOURCES": "sweep", "LISTENER_SWEEP_S": "0.3", "LISTENER_LEASE_S": "2"}


async def test_a_stopped_worker_s_session_is_done_by_another_and_its_own_attempt_ends_without_a_word(
    stack: Stack, connection: asyncpg.Connection[Any], tmp_path: Path
) -> None:
    client = await signed_in(stack)
    sleeping, awake = install(tmp_path / "sleeping"), install(tmp_path / "awake")
    async with running_worker(stack, **BRISK, **sleeping.settings) as zombie:
        sleeping.on("hold")
        row_id = await insert(client)
        await until_row(client, row_id, lambda seen: seen["status"] == "processing")
        zombie.send(signal.SIGSTOP)
        try:
            async with running_worker(stack, **BRISK, **awake.settings):
                done = await until_terminal(client, row_id)
        finally:
            zombie.send(signal.SIGCONT)
        assert (done["status"], done["result"]["image_path"].endswith(".2.png")) == ("completed", True)
        expired = await zombie.until_logged("lease_expired")
        assert expired["attempts_stopped"] == 1
        await zombie.until_logged("attempt_settled")
        assert zombie.logged("attempt_settled")[0]["settled"] == "none", "nothing was written"
        assert zombie.logged("artifact_saved") == []
        sleeping.off("hold")
        await until(zombie, "/readyz", lambda status, _body: status == 200)
        again = await until_terminal(client, await insert(client))
        assert again["status"] == "completed", "it registered anew and serves"
    assert (await row(client, row_id))["version"] == done["version"]
    assert await connection.fetch("select * from listener.invariants") == []

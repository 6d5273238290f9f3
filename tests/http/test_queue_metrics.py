"""The queue in a worker's figures: what waits, since when, and whether anybody is there to take it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from devstack.stack import Stack
from tests.support.app import insert, signed_in
from tests.support.generators import install
from tests.support.probing import sample
from tests.support.worker import running_worker


async def test_a_session_that_nobody_serves_shows_in_every_workers_figures(stack: Stack, tmp_path: Path) -> None:
    grey = install(tmp_path)
    client = await signed_in(stack)
    await insert(client)
    async with running_worker(stack, **grey.settings, LISTENER_KINDS="tryon") as worker, asyncio.timeout(20):
        assert await sample(worker, "listener_queue_sessions") is None, "the first scrape is what has it asked for"
        while await sample(worker, "listener_queue_sessions", kind="headshot", state="queued") != 1:
            await asyncio.sleep(0.05)
        assert await sample(worker, "listener_queue_sessions", kind="tryon", state="queued") == 0
        waited_s = await sample(worker, "listener_queue_oldest_wait_seconds", kind="headshot")
        assert waited_s is not None
        assert waited_s >= 1, "it was inserted before the worker started"
        assert await sample(worker, "listener_queue_workers", kind="headshot") == 0
        assert await sample(worker, "listener_queue_workers", kind="tryon") == 1

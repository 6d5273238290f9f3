"""The webhook source: the first one wakes at once, a flood wakes a few times, and the last one is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from listener.sources.webhook import INTERVAL_S, WebhookSource
from tests.sources.test_live import Woken


@asynccontextmanager
async def running(source: WebhookSource) -> AsyncIterator[Woken]:
    woken = Woken()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(source.run(woken))
        yield woken
        task.cancel()


async def test_a_webhook_wakes_at_once_and_carries_nothing() -> None:
    source = WebhookSource(interval_s=600)
    async with running(source) as woken:
        source.hear()
        await woken.count("webhook")
    assert woken.reasons == ["webhook"]


async def test_one_that_comes_before_the_source_runs_is_not_lost() -> None:
    source = WebhookSource()
    source.hear()
    async with running(source) as woken:
        await woken.count("webhook")


async def test_a_flood_of_replays_wakes_at_a_bounded_rate_and_once_after_its_end() -> None:
    source, loop = WebhookSource(), asyncio.get_running_loop()
    async with running(source) as woken:
        began = loop.time()
        while loop.time() - began < 0.5:
            for _ in range(100):
                source.hear()
            await asyncio.sleep(0)
        during = len(woken.reasons)
        source.hear()
        await woken.count("webhook", during + 1)
        most = (loop.time() - began) / INTERVAL_S + 2
    assert 1 <= during <= most


def test_silence_is_never_taken_for_news() -> None:
    """A webhook proves nothing about the next one, so the sweep goes on looking."""
    assert not WebhookSource().fresh()

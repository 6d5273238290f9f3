"""Workers that are killed: at every step of their work, before and after each commit."""

from __future__ import annotations

import asyncio
import time

import pytest

from devstack.stack import Stack
from tests.faults.app import HOLDER, App
from tests.faults.crew import Crew
from tests.faults.promises import expect_promises
from tests.faults.storm import STEPS, Storm

SUITE_KILLS = 104
SEED = 20261120
LEASE_AND_SWEEP_S = 2.0 + 0.5
SLACK_S = 5.0
"""A busy machine's; the promise is about the lease and the sweep."""


@pytest.mark.timeout(600)
async def test_a_worker_killed_at_any_step_breaks_no_promise(stack: Stack, crew: Crew, app: App) -> None:
    report = await Storm(crew, app, SEED).rage(SUITE_KILLS)
    await app.until_all_ended(within_s=60)
    await crew.dismiss()
    print(report)
    await expect_promises(stack)
    assert set(report.kills) == set(STEPS), f"never reached: {set(STEPS) - set(report.kills)}"
    assert report.rescue_s, "no kill left a session behind"


async def test_what_a_dead_worker_held_is_anothers_within_lease_and_sweep(stack: Stack, crew: Crew, app: App) -> None:
    dead = await crew.start(is_ready=True)
    row = await app.insert("slow going")
    await app.until_held(row)
    await crew.start(is_ready=True)
    dead.kill()
    began = time.monotonic()
    while await app.ask(HOLDER, row) in {None, dead.worker}:
        await asyncio.sleep(0.02)
    assert time.monotonic() - began < LEASE_AND_SWEEP_S + SLACK_S
    await app.until_all_ended(within_s=60)
    await crew.dismiss()
    await expect_promises(stack)

"""Workers that are killed: at every step of their work, before and after each commit."""

from __future__ import annotations

import pytest

from devstack.stack import Stack
from tests.faults.app import App
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
    assert max(report.rescue_s) < LEASE_AND_SWEEP_S + SLACK_S

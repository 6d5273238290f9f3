"""The Nth call of a worker goes wrong, for N = 1, 2, 3, ... until a run meets no fault: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from devstack.faults import HttpFault
from devstack.stack import Stack
from tests.faults.app import App
from tests.faults.crew import Crew
from tests.faults.promises import expect_promises

FAULTS: dict[str, dict[str, Any]] = {
    "answered 500": {"kind": "status", "status": 500},
    "answered 503": {"kind": "status", "status": 503},
    "answered 429": {"kind": "status", "status": 429, "retry_after_s": 1},
    "reset": {"kind": "reset"},
    "answer lost": {"kind": "lost_answer"},
    "never answered": {"kind": "hang"},
    "token expired": {"kind": "expired_token"},
}
SLOW = {name: pytest.mark.slow for name in FAULTS if name != "answer lost"}
MOST_CALLS = 60
FEWEST_CALLS = 6
"""A worker that did a session has made more than these."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in FAULTS])
async def test_whichever_call_goes_wrong_the_session_ends_once(stack: Stack, crew: Crew, app: App, name: str) -> None:
    for nth in range(1, MOST_CALLS):
        fault = HttpFault(path="/*/v1/*", nth=nth, **FAULTS[name])
        stack.faults.hurt(fault)
        worker = await crew.start(WORKER_CONCURRENCY="1")
        row = await app.insert("a portrait")
        await app.until_all_ended(within_s=90)
        stack.faults.http.remove(fault)
        ended = await app.pool.fetchrow("select status, error_code from public.headshot_sessions where id = $1", row)
        assert ended is not None
        assert ended["status"] == "completed", (nth, dict(ended), worker.lines()[-12:])
        await crew.dismiss()
        await expect_promises(stack)
        if not fault.hits:
            assert nth > FEWEST_CALLS, "a worker made hardly a call"
            return
    raise AssertionError(f"{MOST_CALLS} calls, and still another one")


@pytest.mark.timeout(300)
async def test_a_storage_that_is_away_for_a_while_costs_time_and_nothing_else(
    stack: Stack, crew: Crew, app: App
) -> None:
    worker = await crew.start(is_ready=True)
    outage = stack.faults.hurt(HttpFault(kind="status", path="/storage/v1/*", status=503, times=None))
    rows = [await app.insert("a portrait") for _ in range(3)]
    async with asyncio.timeout(30):
        while outage.hits < 3:
            await asyncio.sleep(0.05)
    stack.faults.http.remove(outage)
    await app.until_all_ended(within_s=90)
    await crew.dismiss()
    states = await app.pool.fetch("select status from public.headshot_sessions where id = any($1)", rows)
    assert [row["status"] for row in states] == ["completed"] * 3, worker.lines()[-12:]
    await expect_promises(stack)

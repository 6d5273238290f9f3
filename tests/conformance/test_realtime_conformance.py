"""Realtime is held to the recordings of the real one."""

from __future__ import annotations

import re

import pytest

from tests.conformance.playing import objections, played
from tests.conformance.report import Case, Verdict

PARTLY = {
    "connect-errors": ["Tenant not found", "Not Found"],
    "http-api": [
        "/healthcheck",
        "/api/tenants/127/health",
        "/api/tenants/127 ",
        "/api/ping",
        "/api/tenants/127/reload",
    ],
}
"""What differs in the scenarios that are refused: the rest of them conforms, and must go on doing so."""


@pytest.mark.timeout(300)
async def test_realtime_answers_as_recorded() -> None:
    cases = await played("realtime")
    assert objections("realtime", cases) == []
    assert {case.label: _steps(case) for case in cases if case.verdict is not Verdict.CONFORMS} == {
        label: len(steps) for label, steps in PARTLY.items()
    }
    for case in cases:
        for step in PARTLY.get(case.label, ()):
            assert step in case.difference


def _steps(case: Case) -> int:
    """How many steps of the scenario differ."""
    return len(re.findall(r": expected ", case.difference))

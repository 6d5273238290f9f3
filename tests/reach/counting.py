"""A pytest plugin: coverage.py counts in the processes that run tests, and in those that some of the tests start.

A counted process costs a third more of the processor, so only those are counted that hold what a gate asks for: the
routes and the commands. What the models' own processes execute is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

HANDED_DOWN = "COVERAGE_PROCESS_CONFIG"
"""What coverage.py's patch `subprocess` leaves for child processes."""
CHILDREN_COUNT = ("tests/http/", "tests/cli/")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Hide it while a test of another folder runs."""
    if item.nodeid.startswith(CHILDREN_COUNT):
        return (yield)
    hidden = os.environ.pop(HANDED_DOWN, None)
    try:
        return (yield)
    finally:
        if hidden is not None:
            os.environ[HANDED_DOWN] = hidden

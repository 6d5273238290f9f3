"""Fixtures of the engine's tests: the log as parsed lines, and a bench on in-memory ports."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from listener.telemetry import log
from tests.engine.engine_support import Bench

Lines = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def logged() -> Iterator[Lines]:
    """The JSON lines written so far, of one event or of all."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    log.configure("DEBUG", stream)

    def lines(event: str | None = None) -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [line for line in parsed if event is None or line["event"] == event]

    yield lines
    root.handlers[:], _ = before[0], root.setLevel(before[1])


@pytest.fixture
def bench(logged: Lines) -> Bench:
    return Bench()

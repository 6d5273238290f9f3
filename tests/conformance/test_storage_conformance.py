"""Storage is held to the recordings of the real one."""

from __future__ import annotations

from tests.conformance.playing import objections, played


async def test_storage_answers_as_recorded() -> None:
    assert objections("storage", await played("storage")) == []

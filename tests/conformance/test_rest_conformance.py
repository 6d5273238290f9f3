"""The promise of the REST API: it answers as PostgREST was recorded to, and what does not is written down."""

from __future__ import annotations

from tests.conformance.playing import objections, played


async def test_the_rest_api_answers_as_recorded() -> None:
    assert objections("rest", await played("rest")) == []

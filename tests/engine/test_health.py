"""Readiness: each part answers for itself, and only those that are required keep a worker from serving."""

from __future__ import annotations

from listener.engine.health import Health, PartStatus


def test_only_a_required_part_that_fails_is_a_reason_not_to_serve() -> None:
    health = Health()
    health.add("database", lambda: PartStatus(ok=False, reason="503"))
    health.add("generator", lambda: PartStatus(ok=True, details={"model": "tiny"}))
    health.add("wake_ups", lambda: PartStatus(ok=False, reason="not joined", required=False))
    assert health.names == ("database", "generator", "wake_ups")
    assert health.reasons() == {"database": "503"}
    assert health.parts()["generator"].details == {"model": "tiny"}


def test_a_part_is_asked_each_time_anew() -> None:
    health, states = Health(), [False, True]
    health.add("database", lambda: PartStatus(ok=states.pop(0), reason="503"))
    assert health.reasons() == {"database": "503"}
    assert health.reasons() == {}

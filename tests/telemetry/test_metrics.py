"""The counters: Prometheus's own rules for names, and labels that cannot grow without bound."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from listener.telemetry.metrics import OTHER, Bounded, Metrics


def test_no_label_takes_more_than_its_share_of_values() -> None:
    bounded = Bounded(2)
    assert [bounded(word) for word in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]


def test_error_codes_of_foreign_handlers_cannot_flood_the_series() -> None:
    metrics = Metrics()
    for number in range(500):
        metrics.attempt_settled("headshot", "failed", 1.0, code=f"code_{number}")
        metrics.woken(f"reason {number}")
    series = [line for line in generate_latest(metrics.registry).decode().splitlines() if "code_" in line]
    assert len(series) <= 210, "a counter and its creation time for each of a hundred"
    assert (
        metrics.registry.get_sample_value("listener_attempt_failures_total", {"kind": "headshot", "code": OTHER}) == 400
    )


def test_the_text_is_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.session_claimed("headshot", 0.2)
    metrics.called("database", "claim", "ok", 0.01)
    text = generate_latest(metrics.registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["listener_pickup_seconds"].type == "histogram"
    assert all(family.documentation for family in families.values())
    assert {name for name in families if not name.startswith("listener_")} <= {
        name for name in families if name.startswith(("process_", "python_"))
    }


def test_a_clock_that_runs_behind_the_database_gives_no_negative_wait() -> None:
    metrics = Metrics()
    metrics.session_claimed("headshot", -3.0)
    assert metrics.registry.get_sample_value("listener_pickup_seconds_sum", {"kind": "headshot"}) == 0

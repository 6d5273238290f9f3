"""What a generator tells of its devices, as Prometheus's families: one set of figures for each device.

Knows the names in a status's details; a generator that tells less has fewer figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from listener.contract import GeneratorStatus
from listener.engine.pressure import MIB

Labels = TypeVar("Labels", bound=tuple[str, ...])
ONLY = "0"
"""The name of a device that has no brothers."""


def device_metrics(status: GeneratorStatus) -> Iterator[Metric]:
    """All families of the devices."""
    devices = _devices(status)
    yield gauge(
        "listener_device_ready",
        "1 while the device can generate; 0 for all of them: nothing is claimed.",
        {(name,): float(bool(facts.get("ready"))) for name, facts in devices.items()},
        ["device"],
    )
    restarts = {
        (name, str(reason)): number(count)
        for name, facts in devices.items()
        for reason, count in (facts.get("restarts_by") or {}).items()
    }
    yield counter("listener_generator_restarts", "Ends of its process, by reason.", restarts, ["device", "reason"])
    for family, key, words in (
        ("listener_generator_out_of_memory", "out_of_memory", "How often the device's memory ran out in a run."),
        ("listener_generator_busy_seconds", "busy_s", "Seconds in which the device drew: its rate is the busy share."),
    ):
        yield counter(family, words, {(name,): number(facts.get(key)) for name, facts in devices.items()}, ["device"])
    waiting = {(name,): number(facts.get("waiting")) for name, facts in devices.items()}
    yield gauge("listener_generator_waiting", "Requests in line for the device.", waiting, ["device"])
    yield from _memory(devices)
    yield from _models(devices)


def _memory(devices: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    memory = {
        (name, figure.removesuffix("_mib")): number(value) * MIB
        for name, facts in devices.items()
        for figure, value in (facts.get("memory") or {}).items()
        if figure.endswith("_mib")
    }
    yield gauge("listener_generator_memory_bytes", "As its process told last.", memory, ["device", "figure"])


def _models(devices: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    loads = {
        (name, kind): number(took_s)
        for name, facts in devices.items()
        for kind, took_s in (facts.get("load_s") or {}).items()
    }
    yield gauge("listener_generator_load_seconds", "How long the newest load took.", loads, ["device", "kind"])
    loaded = {
        (kind, str(facts["model"]), str(facts.get("device", ""))): 1.0
        for one in devices.values()
        for kind, facts in (one.get("pipelines") or {}).items()
        if "model" in facts
    }
    yield gauge("listener_model_loaded", "1 for each loaded pipeline.", loaded, ["kind", "model", "device"])


def _devices(status: GeneratorStatus) -> Mapping[str, Mapping[str, Any]]:
    """The figures of each device by its name, of one or of several."""
    several = status.details.get("devices")
    return several if several else {ONLY: {"ready": status.ready, **status.details}}


def gauge(name: str, words: str, values: Mapping[Labels, float], labels: Iterable[str] = ()) -> GaugeMetricFamily:
    """A family of gauges by the values of its labels."""
    family = GaugeMetricFamily(name, words, labels=list(labels))
    for label_values, value in values.items():
        family.add_metric(list(label_values), value)
    return family


def counter(name: str, words: str, values: Mapping[Labels, float], labels: Iterable[str] = ()) -> CounterMetricFamily:
    """A family of counters by the values of its labels."""
    family = CounterMetricFamily(name, words, labels=list(labels))
    for label_values, value in values.items():
        family.add_metric(list(label_values), value)
    return family


def number(value: Any) -> float:
    """A figure as it was told; 0 for what is none."""
    return float(value) if isinstance(value, (int, float)) else 0.0

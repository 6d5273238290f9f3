"""What a scrape tells of devices: each by its name, of one or of several, from nothing but the generator's status."""

from __future__ import annotations

from typing import Any

from listener.contract import GeneratorStatus
from listener.http.device_metrics import device_metrics

FACTS = {
    "restarts_by": {"killed": 2, "step_timeout": 1},
    "out_of_memory": 3,
    "busy_s": 12.5,
    "waiting": 4,
    "load_s": {"headshot": 7.5},
    "memory": {"rss_mib": 2.0, "host_used_percent": 40.0},
    "pipelines": {"headshot": {"model": "embedded", "device": "cuda:0"}, "tryon": {"failure": "no file"}},
}


def values(status: GeneratorStatus) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in device_metrics(status)
        for sample in family.samples
    }


def test_one_device_tells_its_restarts_by_reason_its_lacks_of_memory_and_its_work() -> None:
    told = values(GeneratorStatus(True, "loaded", FACTS))
    assert told == {
        ("listener_device_ready", ("0",)): 1,
        ("listener_generator_restarts_total", ("0", "killed")): 2,
        ("listener_generator_restarts_total", ("0", "step_timeout")): 1,
        ("listener_generator_out_of_memory_total", ("0",)): 3,
        ("listener_generator_busy_seconds_total", ("0",)): 12.5,
        ("listener_generator_waiting", ("0",)): 4,
        ("listener_generator_memory_bytes", ("0", "rss")): 2 << 20,
        ("listener_generator_load_seconds", ("0", "headshot")): 7.5,
        ("listener_model_loaded", ("headshot", "embedded", "cuda:0")): 1,
    }


def test_of_several_devices_each_has_its_own_and_all_that_are_out_show() -> None:
    devices: dict[str, Any] = {name: {**FACTS, "ready": False} for name in ("cuda:0", "cuda:1")}
    told = values(GeneratorStatus(False, "both in quarantine", {"devices": devices}))
    assert [told["listener_device_ready", (name,)] for name in devices] == [0, 0]
    assert [told["listener_generator_out_of_memory_total", (name,)] for name in devices] == [3, 3]


def test_a_generator_that_tells_nothing_has_only_its_readiness() -> None:
    told = values(GeneratorStatus(True, "elsewhere"))
    assert told["listener_device_ready", ("0",)] == 1
    assert not [value for (name, _), value in told.items() if name != "listener_device_ready" and value]

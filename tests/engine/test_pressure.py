"""Nothing new begins while memory, device memory or disk is short; what is short is told in words."""

from __future__ import annotations

from typing import Any

from listener.contract import GeneratorStatus
from listener.engine.admission import Admission
from listener.engine.pressure import MIB, STALE_S, TOLD_S, Disk, Figures, Floors, Pressure
from listener.telemetry import log
from tests.engine.engine_support import HandClock

FLOORS = Floors(memory_bytes=400 * MIB, device_bytes=1000 * MIB, disk_bytes=2000 * MIB)


class Machine:
    """A host whose figures the test sets, in MiB."""

    def __init__(self, floors: Floors = FLOORS) -> None:
        self.clock = HandClock()
        self.memory, self.disk, self.device = 4000, 50_000, 8000.0
        self.read_at: float | None = None
        self.pressure = Pressure(self.figures, self.status, floors, self.clock)

    def figures(self) -> Figures:
        at = self.clock.at if self.read_at is None else self.read_at
        disks = {"cache": Disk(10**12, self.disk * MIB), "temporary": Disk(10**12, 10**11)}
        return Figures(at, 16_000 * MIB, self.memory * MIB, 100 * MIB, disks)

    def status(self) -> GeneratorStatus:
        return GeneratorStatus(True, "loaded", {"memory": {"device_free_mib": self.device}})


def test_enough_of_all_is_no_reason() -> None:
    machine = Machine()
    assert (machine.pressure.refusal(), machine.pressure.shortages()) == (None, {})


def test_each_resource_that_is_short_is_named_with_what_is_left_and_what_is_wanted() -> None:
    machine = Machine()
    machine.memory, machine.device, machine.disk = 399, 999.0, 1999
    assert machine.pressure.shortages() == {
        "memory": "host memory is short: 399 MiB left, 400 MiB wanted",
        "device_memory": "device memory is short: 999 MiB left, 1000 MiB wanted",
        "disk": "disk (cache) is short: 1999 MiB left, 2000 MiB wanted",
    }


def test_claims_go_on_only_when_there_is_a_quarter_more_than_the_floor() -> None:
    machine = Machine()
    for memory, short in ((399, True), (401, True), (499, True), (500, False), (401, False), (399, True)):
        machine.memory = memory
        assert ("memory" in machine.pressure.shortages()) is short, memory


def test_a_floor_of_nothing_switches_it_off() -> None:
    machine = Machine(Floors())
    machine.memory, machine.device, machine.disk = 0, 0.0, 0
    assert machine.pressure.refusal() is None


def test_a_reading_that_is_too_old_says_nothing() -> None:
    machine = Machine()
    machine.memory = 1
    machine.read_at = machine.clock.at
    assert machine.pressure.refusal() is not None
    machine.clock.at += STALE_S + 1
    assert (machine.pressure.refusal(), machine.pressure.figures()) == (None, None)


def test_a_figure_that_the_runtime_told_long_ago_does_not_stop_claims_for_ever() -> None:
    """The runtime measures when it generates: a worker that waits for a new figure would wait for ever."""
    machine = Machine()
    machine.device = 10.0
    assert machine.pressure.refusal() is not None
    machine.clock.at += TOLD_S + 1
    assert machine.pressure.refusal() is None
    machine.device = 11.0  # the trial generation told a new one
    assert machine.pressure.refusal() is not None


def test_a_machine_without_a_device_is_not_short_of_one() -> None:
    clock = HandClock()
    pressure = Pressure(lambda: None, lambda: GeneratorStatus(True, "remote"), FLOORS, clock)
    assert pressure.refusal() is None


def test_a_shortage_pauses_claims_with_one_line_however_the_figures_move(logged: Any) -> None:
    machine = Machine()
    admission = Admission({"pressure": machine.pressure.refusal}, machine.clock, log.get("test"))
    for memory in (399, 120, 350):
        machine.memory = memory
        assert "host memory is short" in str(admission.refusal())
    machine.memory = 4000
    assert admission.refusal() is None
    paused, resumed = logged()
    assert (paused["event"], paused["cause"], resumed["event"]) == ("claims_paused", "pressure", "claims_resumed")
    assert "399 MiB left" in paused["reason"]


def test_a_pause_that_lasts_is_told_once_more_as_an_error(logged: Any) -> None:
    clock = HandClock()
    admission = Admission({"generator": lambda: "all devices are in quarantine"}, clock, log.get("test"))
    for second in (0, 59, 60, 61, 600):
        clock.at = 1000 + second
        admission.refusal()
    assert [(line["event"], line["level"]) for line in logged()] == [
        ("claims_paused", "info"),
        ("claims_still_paused", "error"),
    ]
    assert logged("claims_still_paused")[0]["lasting_s"] == 60


def test_the_cause_can_be_asked_without_a_line_and_without_the_claim_loop(logged: Any) -> None:
    machine = Machine()
    admission = Admission({"pressure": machine.pressure.refusal}, machine.clock, log.get("test"))
    machine.memory = 1
    assert admission.cause() == "pressure"
    machine.memory = 4000
    assert admission.cause() is None
    assert logged() == []

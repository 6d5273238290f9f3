"""What this worker tells of itself: the parts of /health, and the states that a scrape of /metrics reads.

Sees the objects that `app` made; changes none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from listener.contract import Generator
from listener.engine.admission import Admission
from listener.engine.breaker import Breaker, Circuits
from listener.engine.drain import Drain
from listener.engine.guarded import GuardedStore
from listener.engine.health import Health, PartStatus
from listener.engine.heartbeat import Heartbeat
from listener.engine.pressure import Pressure
from listener.http.metrics import States

STATE_MAX = 40
"""Letters of a state: workers.sql."""


@dataclass(frozen=True, slots=True)
class Overview:
    """All that can be asked about."""

    states: States
    drain: Drain
    store: GuardedStore

    def fill(self, health: Health) -> None:
        """Tell every part's status from now on; together the required ones tell all that keeps it from claiming."""
        health.add("worker", self._worker)
        health.add("database", self._database)
        health.add("generator", self._generator)
        health.add("resources", self._resources)
        for breaker in self.states.circuits.breakers:
            if breaker.name not in health.names:
                health.add(breaker.name, _circuit(breaker, needed=breaker in self.states.circuits.needed))

    def _worker(self) -> PartStatus:
        refusal = self.drain.refusal() or self.states.admission.held()
        return PartStatus(
            refusal is None, refusal or "accepting", details={"running": len(self.states.slots.attempts())}
        )

    def _database(self) -> PartStatus:
        refusal = self.states.heartbeat.refusal() or self._circuit_refusal("database") or self.store.claims_rejected
        age_s = self.states.heartbeat.age_s()
        details = {"heartbeat_age_s": round(age_s, 1)} if age_s is not None else {}
        return PartStatus(refusal is None, refusal or "the lease is renewed", details=details)

    def _generator(self) -> PartStatus:
        status = self.states.generator.status()
        refusal = None if status.ready else status.reason
        refusal = refusal or self._circuit_refusal("generator")
        if refusal is None and status.missing:  # the claims of the kinds that need it wait, the others go on
            return PartStatus(False, status.reason, required=False, details=status.details, held=status.missing)
        return PartStatus(refusal is None, refusal or status.reason, details=status.details)

    def _resources(self) -> PartStatus:
        shortages = self.states.pressure.shortages()
        details: dict[str, Any] = {}
        if (figures := self.states.pressure.figures()) is not None:
            details = {
                "memory_available_mib": figures.memory_available_bytes >> 20,
                "memory_total_mib": figures.memory_total_bytes >> 20,
                "disk_free_mib": {name: disk.free_bytes >> 20 for name, disk in figures.disks.items()},
            }
        return PartStatus(not shortages, "; ".join(shortages.values()) or "enough of all", details=details)

    def _circuit_refusal(self, name: str) -> str | None:
        return next((breaker.refusal() for breaker in self.states.circuits.breakers if breaker.name == name), None)


def conditions(
    drain: Drain, heartbeat: Heartbeat, generator: Generator, circuits: Circuits, pressure: Pressure
) -> Mapping[str, Callable[[], str | None]]:
    """What must hold for a claim, in the order in which the reason is told."""

    def ready() -> str | None:
        status = generator.status()
        return None if status.ready else f"the generator is not ready: {status.reason}"

    return {
        "drain": drain.refusal,
        "lease": heartbeat.refusal,
        "generator": ready,
        "circuit": circuits.refusal,
        "pressure": pressure.refusal,
    }


def state_of(drain: Drain, admission: Admission, store: GuardedStore, held: Collection[str] = ()) -> str:
    """What every heartbeat tells of this worker, as `listener status` shows it; `held` kinds wait, the others go on."""
    if drain.refusal() is not None:
        return "draining"
    if (cause := admission.cause()) is not None:
        return f"paused: {cause}"
    if store.claims_rejected is not None:
        return "rejected"
    return f"claiming without {','.join(sorted(held))}"[:STATE_MAX] if held else "claiming"


def _circuit(breaker: Breaker, *, needed: bool) -> Callable[[], PartStatus]:
    def probe() -> PartStatus:
        refusal = breaker.refusal()
        # One failed call only degrades; an open circuit keeps the worker from claiming where nothing can stand in.
        return PartStatus(
            breaker.last_error is None and refusal is None,
            refusal or breaker.last_error or "",
            required=needed and refusal is not None,
            details={"circuit": breaker.state.value},
        )

    return probe

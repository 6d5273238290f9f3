"""GET /metrics: the counters of this process, and its states read at the moment of the scrape.

Knows Prometheus's text format by its library; does not know what the states mean for the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from listener.contract import Generator
from listener.engine.admission import Admission
from listener.engine.breaker import Circuits, State
from listener.engine.heartbeat import Heartbeat
from listener.engine.pressure import Pressure
from listener.engine.slots import Slots
from listener.http.device_metrics import counter, device_metrics, gauge
from listener.http.openapi.operation import Described, Gives, described
from listener.ports import WakeUpSource

METRICS = Described(
    id="metrics",
    summary="Figures for Prometheus",
    group="Probes",
    gives={200: Gives("Prometheus's text format.", str, content_type="text/plain")},
    asks=False,
)


@dataclass(frozen=True, slots=True)
class States(Collector):
    """What can be read from the running engine; it has to answer at once and may not raise."""

    slots: Slots
    admission: Admission
    heartbeat: Heartbeat
    circuits: Circuits
    pressure: Pressure
    generator: Generator
    sources: tuple[WakeUpSource, ...]

    def collect(self) -> Iterable[Metric]:
        """All gauges."""
        yield from self._work()
        yield from self._dependencies()
        yield from self._host()
        yield from self._generator()

    def _work(self) -> Iterator[Metric]:
        busy = len(self.slots.attempts())
        yield gauge(
            "listener_slots",
            "Slots by state.",
            {("busy",): busy, ("free",): max(0, self.slots.count - busy)},
            ["state"],
        )
        cause = self.admission.cause()
        paused = {(name,): float(name == cause) for name in self.admission.causes}
        yield gauge("listener_claims_paused", "1 for the cause that keeps it from claiming.", paused, ["cause"])
        short = self.pressure.shortages()
        pressed = {(name,): float(name in short) for name in self.pressure.resources}
        yield gauge("listener_pressure", "1 while a resource is short.", pressed, ["resource"])

    def _dependencies(self) -> Iterator[Metric]:
        breakers = self.circuits.breakers
        states = {(one.name, state.value): float(one.state is state) for one in breakers for state in State}
        yield gauge("listener_circuit_state", "1 for the circuit's state.", states, ["dependency", "state"])
        opened = {(one.name,): float(one.opened_count) for one in breakers}
        yield counter("listener_circuit_openings", "How often it opened since the start.", opened, ["dependency"])
        fresh = {(source.name,): float(source.fresh()) for source in self.sources}
        yield gauge("listener_source_fresh", "1 while a source is known to work.", fresh, ["source"])
        if (age_s := self.heartbeat.age_s()) is not None:
            yield gauge("listener_heartbeat_age_seconds", "Since the newest answered heartbeat.", {(): age_s})
        yield gauge("listener_lease_left_seconds", "Until the lease runs out.", {(): self.heartbeat.left_s()})

    def _host(self) -> Iterator[Metric]:
        if (figures := self.pressure.figures()) is None:
            return
        total, available = figures.memory_total_bytes, figures.memory_available_bytes
        memory = {("total",): total, ("available",): available, ("used",): total - available}
        yield gauge("listener_host_memory_bytes", "Memory of the host or container.", memory, ["state"])
        used_ratio = (total - available) / total if total else 0.0
        yield gauge("listener_host_memory_used_ratio", "Used memory, 0 to 1.", {(): used_ratio})
        disks = {(name,): disk.free_bytes for name, disk in figures.disks.items()}
        yield gauge("listener_disk_free_bytes", "Free on the file system of a folder.", disks, ["place"])

    def _generator(self) -> Iterator[Metric]:
        status = self.generator.status()
        is_whole = status.ready and not status.missing
        yield gauge("listener_generator_ready", "1 while it can generate all that it is to.", {(): float(is_whole)})
        yield from device_metrics(status)


@dataclass(frozen=True, slots=True, eq=False)
class WebhookAnswers(Collector):
    """What POST /hooks/supabase answered, by code: a few fixed words."""

    outcomes: Mapping[str, int]

    def collect(self) -> Iterable[Metric]:
        """One counter."""
        answers = {(code,): float(count) for code, count in tuple(self.outcomes.items())}
        yield counter("listener_webhook_answers", "Answers to webhooks of the database, by code.", answers, ["code"])


def metrics_route(registry: CollectorRegistry) -> web.AbstractRouteDef:
    """The route to add to the application."""

    @described(METRICS)
    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return web.get("/metrics", metrics)

"""The queue as the database sees it, for Prometheus: how much waits, how long, and who is there to take it.

Knows the families' names; every worker tells the same figures, so a watcher takes one of them, not their sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.registry import Collector

from listener.engine.backlog import Backlog
from listener.http.device_metrics import gauge


@dataclass(frozen=True, slots=True, eq=False)
class QueueMetrics(Collector):
    """The figures of each kind; none before the first answer."""

    backlog: Backlog

    def collect(self) -> Iterable[Metric]:
        """Three families."""
        kinds = self.backlog.read()
        states = {
            (one.kind, state): float(count)
            for one in kinds
            for state, count in (("queued", one.queued), ("delayed", one.delayed), ("processing", one.processing))
        }
        yield gauge("listener_queue_sessions", "Open sessions of all owners.", states, ["kind", "state"])
        waits = {(one.kind,): one.oldest_wait_s for one in kinds}
        yield gauge("listener_queue_oldest_wait_seconds", "Since the insert of the oldest queued.", waits, ["kind"])
        workers = {(one.kind,): float(one.workers) for one in kinds}
        yield gauge("listener_queue_workers", "Living workers that serve the kind.", workers, ["kind"])

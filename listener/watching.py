"""How the queue is watched: asked of the database in the background, shown at a scrape of /metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from listener.adapters.operator import Operator
from listener.adapters.supabase_clients import Clients
from listener.engine.backlog import Backlog, KindBacklog
from listener.http.queue_metrics import QueueMetrics
from listener.ports import Clock
from listener.telemetry import log


async def watch_queue(
    clients: Clients, registry: CollectorRegistry, refusal: Callable[[], str | None], clock: Clock
) -> None:
    """Watch until cancelled; the database is left alone while `refusal` has a reason."""

    async def asked() -> list[KindBacklog]:
        seen = await Operator(clients.calls).status()
        return [
            KindBacklog(**kind.model_dump(), workers=sum(kind.kind in worker.kinds for worker in seen.workers))
            for kind in seen.kinds
        ]

    backlog = Backlog(asked, refusal, clock, log.get("backlog"))
    registry.register(QueueMetrics(backlog))
    await backlog.run()

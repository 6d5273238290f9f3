"""The sources of one worker, as its settings ask for them. Knows each of them, not what a wake-up leads to."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from aiohttp import web

from listener.engine.health import Health, PartStatus
from listener.http.hooks import Hooks, Secrets
from listener.http.metrics import WebhookAnswers
from listener.ports import Clock, WakeUpSource, WatchedTable
from listener.settings import Settings
from listener.sources.epoch import Bounds, Project
from listener.sources.live import RealtimeSource
from listener.sources.timer import TimerSource
from listener.sources.webhook import WebhookSource
from listener.telemetry import log

SHORTEST_CANARY_S = 2.0


class Wakers:
    """What wakes this worker: `realtime` is None where it is switched off."""

    def __init__(self, settings: Settings, worker: UUID, clock: Clock) -> None:
        self._settings = settings
        self._webhook = WebhookSource()
        self._hooks = Hooks(_secrets(settings), self._webhook.hear, log.get("hooks"))
        self.realtime = _realtime(settings, worker, clock) if settings.realtime else None

    def sources(self) -> list[WakeUpSource]:
        """Those that run."""
        sources: list[WakeUpSource] = [self.realtime] if self.realtime else []
        if self._settings.webhooks:
            sources.append(self._webhook)
        if "sweep" in self._settings.sources:
            sources.append(TimerSource(self._settings.sweep_s, self._announced))
        return sources

    def routes(self) -> list[web.AbstractRouteDef]:
        """What they receive over HTTP."""
        return self._hooks.routes()

    def answers(self) -> WebhookAnswers:
        """What was answered to webhooks, for a scrape of /metrics."""
        return WebhookAnswers(self._hooks.outcomes)

    def watch(self, tables: Sequence[WatchedTable]) -> None:
        """Listen to these tables from now on."""
        self._hooks.watch(tables)
        if self.realtime is not None:
            self.realtime.watch(tables)

    def beat_sent(self, at: float) -> None:
        """Tell the canary that a heartbeat was written."""
        if self.realtime is not None:
            self.realtime.beat_sent(at)

    def tell(self, health: Health) -> None:
        """Report to the probes; no source keeps the worker from serving while another works."""
        if (realtime := self.realtime) is not None:
            health.add(
                "realtime",
                lambda: PartStatus(realtime.fresh(), "" if realtime.fresh() else realtime.last_loss, required=False),
            )
        if self._settings.webhooks:
            health.add("webhook", lambda: PartStatus(True, required=False, details=dict(self._hooks.outcomes)))

    def _announced(self) -> bool:
        """Whether new sessions are known to be announced: then nobody needs to look often."""
        return self.realtime is not None and self.realtime.fresh()


def _realtime(settings: Settings, worker: UUID, clock: Clock) -> RealtimeSource:
    project = Project(settings.supabase_url, settings.supabase_service_role_key.get_secret_value(), worker)
    bounds = Bounds(canary_s=max(SHORTEST_CANARY_S, settings.heartbeat_interval_s))
    return RealtimeSource(project, clock, log.get("realtime"), bounds)


def _secrets(settings: Settings) -> Secrets:
    """What webhooks are known by; nothing, where the settings switch them off."""
    if not settings.webhooks:
        return Secrets()
    return Secrets(
        signing=[secret.get_secret_value() for secret in settings.webhook_secrets],
        shared=[secret.get_secret_value() for secret in settings.webhook_header_secrets],
    )

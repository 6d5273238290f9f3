"""The composition root: settings -> objects -> one TaskGroup. The only module that sees all of them.

Every task either runs or brings the daemon down loudly; the order of the end is ending.py's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from uuid import uuid4

from pydantic import BaseModel

from listener.adapters.host import HostReader
from listener.adapters.outbound import Outbound, open_outbound
from listener.adapters.supabase_clients import Clients, open_clients
from listener.announcement import Announcement
from listener.cleaners import clean_along, room_maker
from listener.contract import Generator
from listener.elsewhere import OwnStore, elsewhere_of
from listener.ending import Ending, Tasks
from listener.endpoints import Endpoints
from listener.engine.admission import Admission
from listener.engine.attempt import AttemptRunner
from listener.engine.claim import ClaimLoop
from listener.engine.clock import SystemClock
from listener.engine.context import Outside
from listener.engine.drain import Drain
from listener.engine.guarded import GuardedStore
from listener.engine.health import Health
from listener.engine.heartbeat import Heartbeat, Listeners
from listener.engine.inputs import Inputs
from listener.engine.pool import AttemptPool
from listener.engine.pressure import Pressure
from listener.engine.settle import Settler
from listener.engine.shift import Shift
from listener.engine.slots import Slots
from listener.engine.sweep import Sweep
from listener.engine.wakeup import WakeUp
from listener.errors import Draining
from listener.guards import Guarded, Stores, floors_of, guarded, places_of
from listener.http.metrics import States, metrics_route
from listener.http.probes import Probes
from listener.http.server import serving
from listener.moderation import build_moderator
from listener.overview import Overview, conditions, state_of
from listener.partners import Partners, open_partners
from listener.registry import close_handlers, load_handlers, tell_of_handlers
from listener.routes import build_generator
from listener.settings import Settings
from listener.surroundings import introduction
from listener.telemetry import log
from listener.telemetry.metrics import Metrics
from listener.wakers import Wakers
from listener.watching import watch_queue

SETTLE_PATIENCE_S = 60.0


class Daemon:
    """One worker process.

    Raises: from the constructor, ConfigError; from `run`, an ExceptionGroup with what brought it down.
    """

    def __init__(self, settings: Settings, leave: Callable[[int], None] = os._exit, shift: Shift | None = None) -> None:
        self._shift = shift or Shift()
        self._shift.wake = self._wake
        self.worker = uuid4()
        self.ready = asyncio.Event()
        self.port = 0
        self._settings = settings
        self._log = log.get("daemon")
        self._clock = SystemClock()
        self._handlers = load_handlers(settings.kinds, settings.handler_configs())
        self._endpoints = Endpoints(settings)
        self._metrics = Metrics()
        self._generator: Generator = build_generator(settings, tuple(self._handlers), self._metrics, self._clock)
        self._moderator = build_moderator(settings)
        self._opening = elsewhere_of(settings, settings.worker_concurrency)
        self._elsewhere: OwnStore = None
        self._wakeup = WakeUp()
        self._slots = Slots(settings.worker_concurrency, self._slot_freed)
        self._health = Health()
        self._host = HostReader(places_of(settings), self._clock)
        self._drain = Drain(self._slots, self._stop_claiming, settings.drain_s, self._log)
        self._ending = Ending(self._drain, self._slots, self._generator, leave)
        self._claim: ClaimLoop | None = None
        self._partners: Partners | None = None
        self._wakers = Wakers(settings, self.worker, self._clock)

    def drain(self) -> None:
        """Stop: finish what runs, give back the rest; called again, give everything back now."""
        with log.bound(worker=str(self.worker)):
            self._drain.request()

    @property
    def running(self) -> int:
        """How many attempts run now."""
        return len(self._slots.attempts())

    @property
    def is_draining(self) -> bool:
        """Whether it stops."""
        return self._drain.refusal() is not None

    @property
    def params(self) -> dict[str, type[BaseModel]]:
        """The parameters of every kind that it serves."""
        return {kind: handler.Params for kind, handler in self._handlers.items()}

    def settled(self) -> dict[str, int]:
        """How many attempts ended how, since the start."""
        return self._metrics.settled()

    @property
    def is_sick(self) -> bool:
        """Whether the generator makes nothing, and will not for having been waited for."""
        status = self._generator.status()
        return status.sick and not status.ready

    def give_back(self) -> None:
        """Give back all that runs, uncounted."""
        self._slots.interrupt_all(Draining)

    async def run(self) -> None:
        """Run until drained."""
        with log.bound(worker=str(self.worker)):
            async with AsyncExitStack() as stack:
                key = self._settings.supabase_service_role_key.get_secret_value()
                clients = await stack.enter_async_context(
                    open_clients(self._settings.supabase_url, key, self._settings.worker_concurrency)
                )
                self._elsewhere = await stack.enter_async_context(self._opening)
                outbound = await stack.enter_async_context(open_outbound(self._settings.fetch_policy()))
                partners = open_partners(self._settings, self._handlers, self._clock, self._elsewhere)
                self._partners = await stack.enter_async_context(partners)
                self.port = await stack.enter_async_context(self._serving(outbound, self._partners))
                self._host.start()
                stack.callback(self._host.stop)
                stack.push_async_callback(self._generator.close)
                stack.push_async_callback(close_handlers, self._handlers)
                stack.push_async_callback(self._endpoints.close)
                if self._moderator is not None:
                    stack.push_async_callback(self._moderator.close)
                await self._generator.start()
                async with asyncio.TaskGroup() as group:
                    self._start(clients, outbound, self._partners, group)
            self._log.info("worker_stopped")

    def _serving(self, outbound: Outbound, partners: Partners) -> AbstractAsyncContextManager[int]:
        """Everything that this worker answers over HTTP."""
        settings, metrics = self._settings, self._metrics
        metrics.registry.register(self._wakers.answers())
        probes = Probes(self._health, self.ready.is_set)
        routes = [*probes.routes(), *self._wakers.routes(), *partners.routes(outbound), metrics_route(metrics.registry)]
        routes += self._endpoints.routes(outbound, partners.callers())
        count, origins = metrics.request_answered, settings.allowed_origins
        return serving(settings.http_host, settings.http_port, partners.documented(routes), count, origins)

    def _start(self, clients: Clients, outbound: Outbound, partners: Partners, group: asyncio.TaskGroup) -> None:
        """Wire everything and start every task."""
        slots, metrics, clock = self._slots, self._metrics, self._clock
        served = clients, self.worker, self._generator, self._moderator
        outward = self._settings, clients, self.worker, self._elsewhere
        stores = Stores(self._elsewhere, room_maker(*outward))
        guards = guarded(*served, stores=stores, slots=slots, metrics=metrics, clock=clock)
        heartbeat = self._heartbeat(guards.store)
        pressure = Pressure(self._host.latest, self._generator.status, floors_of(self._settings), self._clock)
        needs = conditions(self._drain, heartbeat, self._generator, guards.circuits, pressure)
        admission = Admission(needs, clock, log.get("admission"), guards.circuits.most)
        heartbeat.says(lambda: state_of(self._drain, admission, guards.store, self._health.held()))
        pool = self._pool(guards, outbound, admission, group)
        self._claim = ClaimLoop(
            store=guards.store,
            kinds=tuple(self._handlers),
            slots=self._slots,
            wakeup=self._wakeup,
            admission=admission,
            start=pool.start,
            log=log.get("claim"),
            shift=self._shift,
        )
        if self._drain.refusal() is not None:
            self._claim.stop()  # the signal came before there was anything to stop
        sources = tuple(self._wakers.sources())
        states = States(self._slots, admission, heartbeat, guards.circuits, pressure, self._generator, sources)
        Overview(states, self._drain, guards.store).fill(self._health)
        self._wakers.tell(self._health)
        self._endpoints.tell(self._health)
        tell_of_handlers(self._handlers, self._health)
        self._metrics.registry.register(states)
        sweep = Sweep(guards.store, self._settings.sweep_s, self._wake, log.get("sweep"))
        said = Announcement(self._settings, tuple(self._handlers), self._generator, self._health, self.ready, self.port)
        ending = [group.create_task(source.run(self._wake), name=source.name) for source in sources]
        beside = {"sweep": sweep.run(), "announce": said.run(), "circuits": guards.circuits.run()}
        beside |= {"cleaning": clean_along(*outward), "cancels": heartbeat.watch_cancels()}
        beside["recoveries"] = guards.store.tell_of_recoveries(tuple(self._handlers), self._wake)
        beside["backlog"] = watch_queue(clients, metrics.registry, heartbeat.refusal, clock)
        ending += [group.create_task(work, name=name) for name, work in beside.items()]
        claiming = group.create_task(self._claim.run(), name="claim")
        beating = group.create_task(heartbeat.run(), name="heartbeat")
        delivering = partners.deliver(group, self.worker, outbound, metrics)
        for task in (*ending, claiming, beating, delivering):
            task.add_done_callback(self._ending.bring_down)
        tasks = Tasks(claiming, beating, delivering, tuple(ending))
        group.create_task(self._ending.run(tasks, heartbeat, pool, partners), name="end")

    def _pool(self, guards: Guarded, outbound: Outbound, admission: Admission, group: asyncio.TaskGroup) -> AttemptPool:
        inputs, settings, metrics = Inputs(outbound, guards.artifacts), self._settings, self._metrics
        ports = guards.store, guards.artifacts, inputs, guards.generator, self._clock, settings.signed_url_s
        price, on_stage, on_cost = settings.device_price_per_hour_usd, metrics.stage_took, metrics.attempt_cost
        outside = Outside(
            *ports, moderator=guards.moderator, on_stage=on_stage, on_cost=on_cost, device_price_per_hour_usd=price
        )
        runner = AttemptRunner(self._handlers, outside, Settler(guards.store, SETTLE_PATIENCE_S))
        return AttemptPool(group, runner, self._slots, admission)

    def _slot_freed(self, reason: str) -> None:
        self._wakeup.set(reason)
        if self._partners is not None:
            self._partners.wake()

    def _wake(self, reason: str) -> None:
        self._metrics.woken(reason)
        self._wakeup.set(reason)

    def _stop_claiming(self) -> None:
        if self._claim is not None:
            self._claim.stop()

    def _heartbeat(self, store: GuardedStore) -> Heartbeat:
        settings = self._settings
        listeners = Listeners(
            open_claims=lambda: self._claim.open_claims() if self._claim else [],
            on_tables=self._wakers.watch,
            on_beat=self._wakers.beat_sent,
            wake=self._wake,
        )
        return Heartbeat(
            store=store,
            registration=introduction(settings, self.worker, tuple(self._handlers)),
            interval_s=settings.heartbeat_interval_s,
            slots=self._slots,
            listeners=listeners,
            clock=self._clock,
            log=log.get("heartbeat"),
        )

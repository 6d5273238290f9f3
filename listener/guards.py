"""Puts a circuit around everything that generation needs, and floors under this machine's resources.

Knows which dependencies there are and how each is probed; does not know what claims.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.rpc import RpcSessionStore
from listener.adapters.supabase_clients import Clients
from listener.contract import Generator
from listener.engine.backoff import Backoff
from listener.engine.breaker import Breaker, Circuits, Patience, Probe
from listener.engine.guarded import Gauge, GuardedArtifacts, GuardedGenerator, GuardedModerator, GuardedStore
from listener.engine.pressure import MIB, Floors
from listener.engine.slots import Slots
from listener.ports import Clock, Moderator
from listener.settings import Settings
from listener.telemetry import log
from listener.telemetry.metrics import Metrics

# Its own restarts take seconds, and a model that kills it with every session needs a person.
GENERATOR_DEATHS = 3
GENERATOR_PAUSE = (5.0, 300.0)


@dataclass(frozen=True, slots=True)
class Guarded:
    """What attempts work with, and the circuits around it."""

    store: GuardedStore
    artifacts: GuardedArtifacts
    generator: GuardedGenerator
    moderator: GuardedModerator | None
    circuits: Circuits


def guarded(
    clients: Clients,
    worker: UUID,
    generator: Generator,
    moderator: Moderator | None,
    *,
    slots: Slots,
    metrics: Metrics,
    clock: Clock,
) -> Guarded:
    """Make the circuits: database, storage, generator, and moderation where there is one."""

    def gauge(name: str, probe: Probe | None = None, patience: Patience | None = None) -> Gauge:
        return Gauge(Breaker(name, clock, log.get("circuit"), probe, patience), metrics, clock)

    rpc, objects = RpcSessionStore(clients.calls, worker), SupabaseArtifactStore(clients)
    first_s, limit_s = GENERATOR_PAUSE
    patience = Patience(GENERATOR_DEATHS, Backoff(first_s=first_s, limit_s=limit_s))
    database, storage = gauge("database", rpc.ping), gauge("storage", objects.ping)
    runtime = gauge("generator", patience=patience)
    gauges = [database, storage, runtime]
    judge = None
    if moderator is not None:
        gauges.append(gauge("moderation"))
        judge = GuardedModerator(moderator, gauges[-1])
    return Guarded(
        GuardedStore(rpc, database, slots),
        GuardedArtifacts(objects, storage),
        GuardedGenerator(generator, runtime),
        judge,
        Circuits((one.breaker for one in gauges), lambda: len(slots.attempts())),
    )


def floors_of(settings: Settings) -> Floors:
    """What must be left for a session to begin."""
    return Floors(settings.min_memory_mib * MIB, settings.min_device_memory_mib * MIB, settings.min_disk_mib * MIB)


def places_of(settings: Settings) -> Mapping[str, Path]:
    """The folders whose disks must not fill up."""
    places = {"cache": settings.cache_dir, "temporary": Path(tempfile.gettempdir())}
    return places | ({"weights": settings.model_storage_path} if settings.model_storage_path else {})

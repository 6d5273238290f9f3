"""Puts a circuit around everything that generation needs, and floors under this machine's resources.

Knows which dependencies there are and how each is probed; does not know what claims.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.rpc import RpcSessionStore
from listener.adapters.supabase_clients import Clients
from listener.contract import Generator
from listener.engine.breaker import Breaker, Circuits, Patience, Probe
from listener.engine.buckets import RoutedArtifacts
from listener.engine.gauge import Gauge
from listener.engine.guarded import GuardedArtifacts, GuardedModerator, GuardedStore
from listener.engine.guarded_generator import GuardedGenerator
from listener.engine.permits import Permits
from listener.engine.pressure import MIB, Floors
from listener.engine.room import MakeRoom, RoomyArtifacts
from listener.engine.routing import RoutedGenerator
from listener.engine.slots import Slots
from listener.ports import ArtifactStore, Clock, Moderator
from listener.routes import patience
from listener.settings import Settings
from listener.telemetry import log
from listener.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from listener.adapters.s3 import S3ArtifactStore

S3 = "s3"
"""The circuit of results in a store of their own."""


@dataclass(frozen=True, slots=True)
class Stores:
    """A store of results beside Supabase Storage, and how room is made in both; None where there is none."""

    elsewhere: S3ArtifactStore | None = None
    make_room: MakeRoom | None = None


@dataclass(frozen=True, slots=True)
class Guarded:
    """What attempts work with, and the circuits around it."""

    store: GuardedStore
    artifacts: ArtifactStore
    generator: Generator
    moderator: GuardedModerator | None
    circuits: Circuits


def guarded(
    clients: Clients,
    worker: UUID,
    generator: Generator,
    moderator: Moderator | None,
    *,
    stores: Stores,
    slots: Slots,
    metrics: Metrics,
    clock: Clock,
) -> Guarded:
    """Make the circuits: database, storage, generator, moderation, S3; those of a route are made already."""

    def gauge(name: str, probe: Probe | None = None, bears: Patience | None = None, *, asked: bool = False) -> Gauge:
        return Gauge(Breaker(name, clock, log.get("circuit"), probe, bears, asks_first=asked), metrics, clock)

    def around(objects: ArtifactStore, one: Gauge) -> ArtifactStore:
        roomy = (
            objects if stores.make_room is None else RoomyArtifacts(objects, stores.make_room, clock, log.get("room"))
        )
        return GuardedArtifacts(roomy, one)

    rpc, objects = RpcSessionStore(clients.calls, worker), SupabaseArtifactStore(clients)
    gauges = [gauge("database", rpc.ping), gauge("storage", objects.ping)]
    store, artifacts = GuardedStore(rpc, gauges[0], slots), around(objects, gauges[1])
    if (elsewhere := stores.elsewhere) is not None:
        gauges.append(gauge(S3, elsewhere.ping, asked=True))
        artifacts = RoutedArtifacts(artifacts, around(elsewhere, gauges[-1]), elsewhere.place.buckets)
    judge = None
    if moderator is not None:
        gauges.append(gauge("moderation"))
        judge = GuardedModerator(moderator, gauges[-1])
    if isinstance(generator, RoutedGenerator):
        generator.attach(Permits(store, clock, log.get("permits")), lambda kind: sum(one.kind == kind for one in slots))
    else:
        gauges.append(gauge("generator", bears=patience()))
        generator = GuardedGenerator(generator, gauges[-1])
    store.serves_only(generator.servable)
    return Guarded(store, artifacts, generator, judge, _circuits(gauges, generator, slots))


def _circuits(gauges: Sequence[Gauge], generator: Generator, slots: Slots) -> Circuits:
    needed, busy = [gauge.breaker for gauge in gauges], lambda: len(slots.attempts())
    if isinstance(generator, RoutedGenerator):
        return Circuits(needed, busy, generator.breakers, generator.careful)
    return Circuits(needed, busy)


def floors_of(settings: Settings) -> Floors:
    """What must be left for a session to begin."""
    return Floors(settings.min_memory_mib * MIB, settings.min_device_memory_mib * MIB, settings.min_disk_mib * MIB)


def places_of(settings: Settings) -> Mapping[str, Path]:
    """The folders whose disks must not fill up."""
    places = {"cache": settings.cache_dir, "temporary": Path(tempfile.gettempdir())}
    return places | ({"weights": settings.model_storage_path} if settings.model_storage_path else {})

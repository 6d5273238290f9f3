"""What all connections and channels share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from devstack.faults import Faults
from devstack.live.limits import Limits, Rate
from devstack.live.presence import Presences
from devstack.live.registry import Registry
from devstack.tokens import ProjectKeys


@dataclass(frozen=True, slots=True)
class Services:
    """The database, who listens, what was counted; `caught_up` waits for the capture of the log."""

    pool: asyncpg.Pool[asyncpg.Record]
    registry: Registry
    keys: ProjectKeys
    faults: Faults
    limits: Limits
    events: Rate
    joins: Rate
    caught_up: Callable[[], Coroutine[Any, Any, None]]
    presences: Presences = field(default_factory=Presences)

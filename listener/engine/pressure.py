"""Backpressure: no new session while memory, device memory or disk is short. Knows figures and floors.

Does not know who measures them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from listener.contract import GeneratorStatus
from listener.ports import Clock

RESUME = 1.25
"""Claims go on when a quarter more than the floor is there, so that they do not flutter at its edge."""
TOLD_S = 60.0
"""How long a figure of the runtime counts: it tells a new one only with the next generation, which would never come."""
STALE_S = 30.0
"""How long a reading of the host counts: a disk that does not answer is no reason to stop for ever."""
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder's file system. Units: bytes."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading of the host. Units: bytes; `at` is on the engine's monotonic clock.

    `available` is what can be had without swapping, within the limits of the container.
    """

    at: float
    memory_total_bytes: int
    memory_available_bytes: int
    process_bytes: int
    disks: Mapping[str, Disk] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Floors:
    """What must be left for a session to begin. Units: bytes; 0 switches one off."""

    memory_bytes: int = 0
    device_bytes: int = 0
    disk_bytes: int = 0


class Pressure:
    """Tells which resource is short."""

    def __init__(
        self,
        host: Callable[[], Figures | None],
        generator: Callable[[], GeneratorStatus],
        floors: Floors,
        clock: Clock,
    ) -> None:
        self._host = host
        self._generator = generator
        self._floors = floors
        self._clock = clock
        self._short: set[str] = set()
        self._told: tuple[float, Mapping[str, Any]] = (0.0, {})

    resources = ("memory", "device_memory", "disk")

    def refusal(self) -> str | None:
        """Why nothing new should begin, if so."""
        return "; ".join(self.shortages().values()) or None

    def shortages(self) -> dict[str, str]:
        """The resources that are short now, each in words."""
        figures = self.figures()
        available_bytes = figures.memory_available_bytes if figures else None
        short: dict[str, str | None] = {
            "memory": self._judge("host memory", available_bytes, self._floors.memory_bytes),
            "device_memory": self._judge("device memory", self._device_free_bytes(), self._floors.device_bytes),
            "disk": self._disks(figures),
        }
        return {resource: words for resource, words in short.items() if words is not None}

    def figures(self) -> Figures | None:
        """The newest reading of the host, unless it is too old to say anything."""
        figures = self._host()
        return figures if figures is not None and self._clock.monotonic() - figures.at <= STALE_S else None

    def _disks(self, figures: Figures | None) -> str | None:
        disks = figures.disks if figures else {}
        words = [
            self._judge(f"disk ({name})", disk.free_bytes, self._floors.disk_bytes) for name, disk in disks.items()
        ]
        return "; ".join(filter(None, words)) or None

    def _judge(self, name: str, free_bytes: int | None, floor_bytes: int) -> str | None:
        """Compare with the floor; what is short stays so until there is a quarter more than the floor."""
        bar = floor_bytes * (RESUME if name in self._short else 1.0)
        if free_bytes is None or free_bytes >= bar:
            self._short.discard(name)
            return None
        self._short.add(name)
        return f"{name} is short: {free_bytes // MIB} MiB left, {int(bar) // MIB} MiB wanted"

    def _device_free_bytes(self) -> int | None:
        """What the runtime told last, while that still counts."""
        memory = self._generator().details.get("memory") or {}
        now = self._clock.monotonic()
        if memory != self._told[1]:
            self._told = (now, memory)
        free_mib = memory.get("device_free_mib")
        if free_mib is None or now - self._told[0] > TOLD_S:
            return None
        return int(free_mib * MIB)

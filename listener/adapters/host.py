"""Reads this machine's memory and disks, within the limits of a container. Knows psutil and cgroups; judges nothing."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

import psutil

from listener.engine.pressure import Disk, Figures
from listener.ports import Clock

CGROUP = Path("/sys/fs/cgroup")
# (limit, used, statistics, the name there of what can be given back)
MEMORY_V2 = ("memory.max", "memory.current", "memory.stat", "inactive_file")
MEMORY_V1 = (
    "memory/memory.limit_in_bytes",
    "memory/memory.usage_in_bytes",
    "memory/memory.stat",
    "total_inactive_file",
)
INTERVAL_S = 2.0


class HostReader:
    """Reads again every `interval_s` seconds, on a thread that nobody has to wait for.

    A disk that hangs (NFS) holds this thread alone: never the event loop, and not the end of the process.
    """

    def __init__(self, places: Mapping[str, Path], clock: Clock, interval_s: float = INTERVAL_S) -> None:
        self._places = dict(places)
        self._clock = clock
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._latest: Figures | None = None

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, name="host-figures", daemon=True).start()

    def stop(self) -> None:
        """Read no more; returns at once."""
        self._stopped.set()

    def latest(self) -> Figures | None:
        """The newest reading; None before the first."""
        return self._latest

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._latest = read_figures(self._places, self._clock)
            self._stopped.wait(self._interval_s)


def read_figures(places: Mapping[str, Path], clock: Clock, cgroup: Path = CGROUP) -> Figures:
    """Read everything once."""
    at = clock.monotonic()
    host = psutil.virtual_memory()
    total, available = int(host.total), int(host.available)
    if (limited := _container_memory(cgroup)) is not None and limited[0] < total:
        total, available = limited[0], min(available, limited[1])
    disks = {name: disk for name, place in places.items() if (disk := _disk_of(place)) is not None}
    return Figures(at, total, available, int(psutil.Process().memory_info().rss), disks)


def _container_memory(cgroup: Path) -> tuple[int, int] | None:
    """The container's limit and what is left of it; None without a limit."""
    for limit_name, used_name, statistics_name, reclaimable_name in (MEMORY_V2, MEMORY_V1):
        try:
            limit = int((cgroup / limit_name).read_text())
            used = int((cgroup / used_name).read_text())
            statistics = (cgroup / statistics_name).read_text()
        except (OSError, ValueError):  # not this version, or no limit ("max")
            continue
        pairs = dict(line.split(maxsplit=1) for line in statistics.splitlines() if " " in line)
        return limit, max(0, limit - used + int(pairs.get(reclaimable_name, 0)))
    return None


def _disk_of(place: Path) -> Disk | None:
    """The file system that a folder is, or will be made, on."""
    for folder in (place, *place.absolute().parents):
        try:
            usage = shutil.disk_usage(folder)
        except OSError:
            continue
        return Disk(usage.total, usage.free)
    return None

"""How much memory is left for another process on this host or in this container. Knows psutil and cgroups."""

from __future__ import annotations

from pathlib import Path

import psutil

MIB = 1 << 20
CGROUP = Path("/sys/fs/cgroup")


def available_mib(cgroup: Path = CGROUP) -> int:
    """Measure what can be had without swapping, within the container's limit (control groups, version 2)."""
    available = int(psutil.virtual_memory().available)
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no control group, or no limit ("max")
        return available // MIB
    return min(available, max(0, limit - used + int(statistics.get("inactive_file", 0)))) // MIB

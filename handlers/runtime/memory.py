"""What memory the child uses and how it gives it back. Knows torch and the operating system's figures."""

from __future__ import annotations

import gc

import psutil
import torch

MIB = 1 << 20


def free_memory() -> None:
    """Give back what the last run no longer uses.

    Call it outside of an `except` block: inside, the traceback keeps the failed step's tensors alive.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def settle_memory() -> None:
    """Take what is loaded for permanent: later collections look at a run's objects only (100 ms against 2)."""
    gc.collect()
    gc.freeze()


def memory_facts(device: str) -> dict[str, float]:
    """Measure the process, the host and the device. Units: MiB and percent."""
    host = psutil.virtual_memory()
    facts = {
        "rss_mib": round(psutil.Process().memory_info().rss / MIB, 1),
        "host_total_mib": round(host.total / MIB, 1),
        "host_available_mib": round(host.available / MIB, 1),
        "host_used_percent": host.percent,
    }
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
        facts["device_total_mib"] = round(total / MIB, 1)
        facts["device_free_mib"] = round(free / MIB, 1)
        facts["device_allocated_mib"] = round(torch.cuda.memory_allocated(device) / MIB, 1)
        facts["device_peak_mib"] = round(torch.cuda.max_memory_allocated(device) / MIB, 1)
    return facts

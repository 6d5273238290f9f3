"""What `listener check` asks of this machine: code, device, memory, disks, port, the door for webhooks.

Asks no network.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from listener.adapters.host import read_figures
from listener.cli.findings import Finding, found
from listener.contract import DeviceBorrower, RemoteGenerator
from listener.engine.clock import SystemClock
from listener.engine.pressure import MIB
from listener.errors import ConfigError
from listener.guards import floors_of, places_of
from listener.moderation import build_moderator
from listener.registry import load_handlers
from listener.routes import build_generators
from listener.settings import Settings

NVIDIA_SMI = "nvidia-smi"
QUERY = ("--query-gpu=name,memory.free,memory.total,driver_version", "--format=csv,noheader,nounits")
DEVICE_S = 15.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_handlers(settings: Settings) -> tuple[Sequence[str], Finding]:
    """The kinds that a worker would serve, or that it was asked for in vain, and what to tell of them."""
    try:
        kinds = tuple(load_handlers(settings.kinds, settings.handler_configs()))
    except ConfigError as error:
        remedy = "correct LISTENER_KINDS, or install the package that serves it"
        return settings.kinds, Finding("handlers", "failing", str(error), remedy)
    return kinds, Finding("handlers", "ok", ", ".join(kinds))


def check_machine(settings: Settings, kinds: Sequence[str]) -> Iterator[Finding]:
    """Every other finding, in order."""
    findings = list(_generators(settings, kinds))
    yield from findings
    yield _device(settings, is_needed=any(one.name == "generator" for one in findings))
    yield from _resources(settings)
    yield _port(settings)
    yield _webhooks(settings)


def _generators(settings: Settings, kinds: Sequence[str]) -> Iterator[Finding]:
    """Who makes what; everything is built and nothing is loaded or asked."""
    routes = settings.routes_of(kinds)
    try:
        built = build_generators(settings, kinds)
    except ConfigError as error:
        yield Finding("generator", "failing", str(error), "correct LISTENER_GENERATOR, or install what it needs")
        return
    for name, generator in built.items():
        served = ", ".join(kind for kind, names in routes.items() if name in names)
        if isinstance(generator, RemoteGenerator):
            yield Finding(name, "ok", f"{served}: {generator.status().reason}, with its key (not asked by this check)")
        elif isinstance(generator, DeviceBorrower):
            yield Finding("generator", "ok", f"{served}: {name}, a program of its own (not run by this check)")
            remedy = "put them there, or let the worker bring them at its start where the engine may download"
            yield found("model files", list(generator.missing_files()), f"all of {name} are there", remedy, "warning")
        else:
            models = ", ".join(sorted({pipeline.model for pipeline in settings.generator_config().pipelines}))
            yield Finding("generator", "ok", f"{served}: {name}, {models} (not loaded by this check)")


def _device(settings: Settings, *, is_needed: bool) -> Finding:
    if not is_needed:
        return Finding("device", "ok", "none is needed: every image is made elsewhere")
    if settings.device == "cpu":
        return Finding("device", "ok", "cpu, as LISTENER_DEVICE says")
    try:
        cards = _cards()
    except (OSError, subprocess.SubprocessError) as error:
        if settings.device == "auto":
            return Finding("device", "ok", "no NVIDIA driver answers: cpu, as LISTENER_DEVICE=auto allows")
        remedy = "install the NVIDIA driver (nvidia-smi must work here; containers: --gpus all), or LISTENER_DEVICE=cpu"
        return Finding("device", "failing", f"LISTENER_DEVICE=cuda, but no GPU answers: {_reason(error)}", remedy)
    return Finding("device", "ok", "; ".join(cards))


def _cards() -> list[str]:
    """The GPUs in words. Raises: OSError, SubprocessError when none answers."""
    # By its name, through PATH: where it lies differs from driver to driver.
    ran = subprocess.run(  # noqa: S603 - fixed words
        [NVIDIA_SMI, *QUERY], capture_output=True, text=True, timeout=DEVICE_S, check=True
    )
    cards = [[field.strip() for field in line.split(",")] for line in ran.stdout.splitlines() if line.strip()]
    if not cards:
        raise OSError("nvidia-smi lists none")
    return [f"{name}, {free} of {total} MiB free, driver {driver}" for name, free, total, driver in cards]


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "nvidia-smi is not installed"
    if isinstance(error, subprocess.CalledProcessError):
        return " ".join((error.stderr or error.stdout or f"status {error.returncode}").split())[:200]
    return str(error)[:200]


def _resources(settings: Settings) -> Iterator[Finding]:
    floors, places = floors_of(settings), places_of(settings)
    figures = read_figures(places, SystemClock())
    available, total = figures.memory_available_bytes // MIB, figures.memory_total_bytes // MIB
    short = [f"{available} MiB are free"] if figures.memory_available_bytes < floors.memory_bytes else []
    remedy = f"free memory: below LISTENER_MIN_MEMORY_MIB={settings.min_memory_mib} nothing is claimed"
    yield found("memory", short, f"{available} of {total} MiB free", remedy)
    full = [
        f"{name}: {disk.free_bytes // MIB} MiB are free at {places[name]}"
        for name, disk in figures.disks.items()
        if disk.free_bytes < floors.disk_bytes
    ]
    closed = [f"{name}: {place} cannot be written" for name, place in places.items() if not _may_write(place)]
    fine = ", ".join(f"{name} {disk.free_bytes // MIB} MiB free" for name, disk in figures.disks.items())
    remedy = f"free disk space (LISTENER_MIN_DISK_MIB={settings.min_disk_mib}), or name other folders"
    yield found("disk", full + closed, fine, remedy)


def _port(settings: Settings) -> Finding:
    """Whether a worker could listen there now; one that runs already has the port."""
    place = f"{settings.http_host}:{settings.http_port}"
    try:
        with socket.create_server((settings.http_host, settings.http_port), family=_family(settings.http_host)):
            return Finding("port", "ok", place)
    except OSError as error:
        words = f"nobody else can listen at {place} now: {error.strerror or error}"
        return Finding("port", "warning", words, "fine where that is this worker; else LISTENER_HTTP_PORT=another one")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _may_write(place: Path) -> bool:
    """Whether the folder, or the nearest one above that exists, lets this user write."""
    nearest = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    return os.access(nearest, os.W_OK | os.X_OK)


async def check_moderation(settings: Settings) -> Finding:
    """Whether those who judge words can be built from the settings; nothing is sent to them."""
    try:
        moderator = build_moderator(settings)
    except ConfigError as error:
        return Finding("moderation", "failing", str(error), "correct LISTENER_MODERATION and what it needs")
    if moderator is None:
        return Finding("moderation", "warning", "off: every prompt is drawn", "LISTENER_MODERATION=rules")
    await moderator.close()
    return Finding("moderation", "ok", settings.moderation)


def _webhooks(settings: Settings) -> Finding:
    if not settings.webhooks:
        return Finding("webhooks", "ok", f"off; sources: {', '.join(settings.sources)}")
    forms = ["signed"] * bool(settings.webhook_secrets) + ["shared secret"] * bool(settings.webhook_header_secrets)
    words = f"{' and '.join(forms)}, at http://{settings.http_host}:{settings.http_port}/hooks/supabase"
    if settings.http_host in LOOPBACK:
        remedy = "LISTENER_HTTP_HOST=0.0.0.0, or a proxy on this machine that forwards to it"
        return Finding("webhooks", "warning", f"{words}: only this machine reaches it", remedy)
    return Finding("webhooks", "ok", words)

"""`listener check`: the settings, and whether each thing the worker needs answers. Changes nothing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from uuid import uuid4

import click

from listener.adapters.failures import translated
from listener.adapters.rpc import RpcSessionStore
from listener.adapters.supabase_clients import Clients, open_clients
from listener.engine.clock import SystemClock
from listener.engine.heartbeat import require_new_enough, require_served
from listener.errors import ConfigError, ListenerError
from listener.registry import load_generator, load_handlers
from listener.settings import Settings, load_settings
from listener.sources.epoch import Bounds, Epoch, Project
from listener.telemetry import log
from listener.telemetry.redact import clean_text, hide_secrets

REALTIME_S = 15.0

Check = Callable[[], Awaitable[str]]


@click.command()
def check() -> None:
    """Check the settings, and that Supabase answers. Exit status 1 when something does not work, 78 for settings."""
    settings = load_settings()
    hide_secrets(settings.secrets())
    log.configure("CRITICAL")
    click.echo(f"{'settings':12} ok       {settings.supabase_url}, worker {settings.worker_name}")
    if not asyncio.run(_all_work(settings)):
        sys.exit(1)


async def _all_work(settings: Settings) -> bool:
    key = settings.supabase_service_role_key.get_secret_value()
    async with open_clients(settings.supabase_url, key, 1) as clients:
        checks: list[tuple[str, Check]] = [
            ("handlers", lambda: _handlers(settings)),
            ("generator", lambda: _generator(settings)),
            ("database", lambda: _database(clients)),
            ("storage", lambda: _storage(clients)),
        ]
        if settings.realtime:
            checks.append(("realtime", lambda: _realtime(settings, key)))
        return all([await _works(name, run) for name, run in checks])


async def _works(name: str, run: Check) -> bool:
    try:
        words, works = await run(), True
    except ListenerError as error:
        words, works = str(error), False
    click.echo(f"{name:12} {'ok' if works else 'failing':8} {clean_text(words)}")
    return works


async def _handlers(settings: Settings) -> str:
    return ", ".join(load_handlers(settings.kinds))


async def _generator(settings: Settings) -> str:
    load_generator(settings.generator)
    return f"{settings.generator}, {settings.headshot_model} on {settings.device} (not loaded by this check)"


async def _database(clients: Clients) -> str:
    """The heartbeat of a worker that does not exist needs every grant and writes nothing."""
    pulse = await RpcSessionStore(clients.calls, uuid4()).heartbeat([], [])
    require_served(pulse.oldest_worker)
    require_new_enough(pulse.schema_version or 0)
    return f"the worker functions answer, schema version {pulse.schema_version}"


async def _storage(clients: Clients) -> str:
    with translated("list buckets"):
        buckets = await clients.calls.storage.list_buckets()
    if not buckets:
        raise ConfigError("there is no bucket: apply supabase/migrations")
    return "buckets: " + ", ".join(bucket.name for bucket in buckets)


async def _realtime(settings: Settings, key: str) -> str:
    """Join with the canary's binding alone: a missing grant or publication would refuse it."""
    project = Project(settings.supabase_url, key, uuid4())
    epoch = Epoch(
        project=project,
        number=1,
        tables=(),
        wake=lambda reason: epoch.end("joined") if reason == "realtime_joined" else None,
        bounds=Bounds(join_s=REALTIME_S, live_s=REALTIME_S),
        clock=SystemClock(),
        log=log.get("check"),
    )
    reason = await epoch.run()
    if not epoch.was_live:
        raise ConfigError(reason)
    return "subscribed to PostgreSQL"

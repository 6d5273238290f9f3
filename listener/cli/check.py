"""`listener check`: everything that the worker needs, each with a status, and a remedy where it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import click

from listener.cli.check_machine import check_handlers, check_machine, check_moderation
from listener.cli.check_project import check_project
from listener.cli.check_store import check_store
from listener.cli.findings import Finding
from listener.settings import Settings, load_settings
from listener.telemetry import log
from listener.telemetry.redact import hide_secrets

FAILING = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(as_json: bool) -> None:
    """Check this machine and the project for everything the worker needs. Changes nothing; where results lie on S3, it
    writes and removes one small object.

    Exit status: 0 (warnings too), 1 something fails, 78 settings.
    """
    settings = load_settings()
    hide_secrets(settings.secrets())
    log.configure("CRITICAL")
    findings = asyncio.run(_told(settings, quiet=as_json))
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    if any(finding.status == "failing" for finding in findings):
        raise SystemExit(FAILING)


async def _told(settings: Settings, *, quiet: bool) -> list[Finding]:
    """All findings, each shown as soon as it is known."""
    findings = []
    async for finding in _all(settings):
        findings.append(finding)
        if not quiet:
            click.echo(finding.shown())
    return findings


async def _all(settings: Settings) -> AsyncIterator[Finding]:
    yield Finding("settings", "ok", f"{settings.supabase_url}, worker {settings.worker_name}")
    kinds, handlers = check_handlers(settings)
    yield handlers
    for finding in check_machine(settings, kinds):
        yield finding
    yield await check_moderation(settings)
    async for finding in check_store(settings):
        yield finding
    async for finding in check_project(settings, kinds):
        yield finding

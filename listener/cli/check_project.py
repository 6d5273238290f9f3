"""What `listener check` asks of the Supabase project: key, schema, grants, Realtime's publication, buckets, the clock.

Changes nothing there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from listener.adapters.keys import MAY_SERVE, kind_of_key
from listener.adapters.operator import Operator, Survey, open_operator
from listener.cli.findings import Finding, Status, found
from listener.engine.clock import SystemClock
from listener.engine.heartbeat import SCHEMA_VERSION, require_new_enough, require_served
from listener.errors import ConfigError, KeyRefused, StoreError, StoreUnavailable
from listener.settings import Settings
from listener.sources.epoch import Bounds, Epoch, Project
from listener.telemetry import log

REALTIME_S = 15.0
SKEW_NOTED_S = 5.0
SKEW_BORNE_S = 120.0
"""Webhooks and JWTs are judged within minutes; leases are the database's own time and a monotonic clock here."""
MIGRATE = "`listener migrate` brings it"
KEY_PLACE = "take the secret key (sb_secret_...) or the service_role key from the project's API settings"


async def check_project(settings: Settings, kinds: Sequence[str]) -> AsyncIterator[Finding]:
    """Every finding, in order, for a worker of these kinds; what cannot be asked is left out."""
    key = settings.supabase_service_role_key.get_secret_value()
    yield _key(key)
    async with open_operator(settings.supabase_url, key) as operator:
        asked_at = datetime.now(UTC)
        try:
            survey = await operator.survey()
        except StoreError as error:
            yield _unanswered(settings, error)
            return
        yield Finding("supabase", "ok", f"{settings.supabase_url} answers as {survey.role}")
        yield _clock(survey.now, asked_at, datetime.now(UTC))
        yield _schema(survey)
        yield _grants(survey)
        yield _publication(survey)
        yield _tables(survey, kinds)
        yield await _buckets(operator, survey)
    if settings.realtime:
        yield await _realtime(settings, key)


def _key(key: str) -> Finding:
    kind = kind_of_key(key)
    if kind in MAY_SERVE:
        return Finding("key", "ok", kind)
    return Finding("key", "failing", f"SUPABASE_SERVICE_ROLE_KEY is {kind}, which serves no worker", KEY_PLACE)


def _unanswered(settings: Settings, error: StoreError) -> Finding:
    if isinstance(error, StoreUnavailable) and not isinstance(error, KeyRefused):
        remedy = "check SUPABASE_URL, the network from here, and that the project is not paused"
        return Finding("supabase", "failing", f"{settings.supabase_url} does not answer: {error}", remedy)
    text = str(error)
    remedy = MIGRATE if "listener migrate" in text else KEY_PLACE
    return Finding("supabase", "failing", f"{settings.supabase_url} refused: {text}", remedy)


def _clock(there: datetime, asked_at: datetime, answered_at: datetime) -> Finding:
    middle = asked_at + (answered_at - asked_at) / 2
    skew_s = abs(middle - there) / timedelta(seconds=1)
    if skew_s < SKEW_NOTED_S + (answered_at - asked_at) / timedelta(seconds=2):
        return Finding("clock", "ok", f"{skew_s:.1f} s from the database's")
    status: Status = "failing" if skew_s > SKEW_BORNE_S else "warning"
    return Finding("clock", status, f"{skew_s:.0f} s from the database's", "let NTP set this machine's clock")


def _schema(survey: Survey) -> Finding:
    served = f"version {survey.schema_version} serves workers from {survey.oldest_worker} on"
    for require, number, remedy in (
        (require_served, survey.oldest_worker, "install a newer version of listener"),
        (require_new_enough, survey.schema_version, MIGRATE),
    ):
        if (refused := _refused(require, number)) is not None:
            return Finding("schema", "failing", refused, remedy)
    return Finding("schema", "ok", f"{served}; this one is {SCHEMA_VERSION}")


def _refused(require: Callable[[int], None], number: int) -> str | None:
    try:
        require(number)
    except ConfigError as error:
        return str(error)
    return None


def _grants(survey: Survey) -> Finding:
    missing = [f"service_role may not call {name}" for name in survey.not_granted]
    opened = [f"users may call {name}" for name in survey.open_to_strangers]
    remedy = "run our migrations again (`listener migrate`), or grant and revoke EXECUTE as they do"
    return found("grants", missing + opened, "service_role may call every worker function, users none", remedy)


def _publication(survey: Survey) -> Finding:
    if not survey.publication:
        remedy = "create publication supabase_realtime; then `listener migrate`"
        return Finding("publication", "failing", "there is no publication supabase_realtime", remedy)
    shut_out = [f"{one.role} may read {one.table} but not use its schema" for one in survey.shut_out]
    remedy = "grant usage on that schema to that role, or take its SELECT away: it silences Realtime for everybody"
    if shut_out:
        return Finding("publication", "failing", "; ".join(shut_out), remedy)
    missing = [one.table for one in survey.tables if not one.is_published]
    missing += [] if survey.canary else ["listener.workers"]
    problems = [f"{table} is not published" for table in missing]
    remedy = "; ".join(f"alter publication supabase_realtime add table {table}" for table in missing)
    return found("publication", problems, "watched tables and the canary are in it, their readers may use them", remedy)


def _tables(survey: Survey, kinds: Sequence[str]) -> Finding:
    broken = [f"{one.table} ({one.kind}) is broken: {one.broken}" for one in survey.tables if one.broken]
    watched = ", ".join(f"{one.table} ({one.kind})" for one in survey.tables)
    if broken:
        remedy = "mend the table's columns, then: select listener.mend('TABLE')"
        return Finding("tables", "failing", "; ".join(broken), remedy)
    held = {one.kind for one in survey.tables}
    without = [f"no table holds sessions of {kind}" for kind in kinds if kind not in held]
    return found("tables", without, watched, "`listener watch-table TABLE --kind KIND`", "warning")


async def _buckets(operator: Operator, survey: Survey) -> Finding:
    try:
        there = await operator.buckets()
    except StoreError as error:
        return Finding("storage", "failing", str(error), "check that Storage is on and the key is the project's")
    missing = [f"bucket {name} is missing" for name in survey.buckets if name not in there]
    opened = [f"bucket {name} is public: everybody reads it" for name in survey.buckets if there.get(name)]
    remedy = "make it private in the dashboard; missing ones come with `listener migrate`"
    return found("storage", missing + opened, "private buckets: " + ", ".join(survey.buckets), remedy)


async def _realtime(settings: Settings, key: str) -> Finding:
    """Join with the canary's binding alone: a missing grant or publication would refuse it."""
    epoch = Epoch(
        project=Project(settings.supabase_url, key, uuid4()),
        number=1,
        tables=(),
        wake=lambda reason: epoch.end("joined") if reason == "realtime_joined" else None,
        bounds=Bounds(join_s=REALTIME_S, live_s=REALTIME_S),
        clock=SystemClock(),
        log=log.get("check"),
    )
    reason = await epoch.run()
    if epoch.was_live:
        return Finding("realtime", "ok", "subscribed to PostgreSQL")
    remedy = "check that Realtime is on; the sweep finds sessions meanwhile, within seconds"
    return Finding("realtime", "failing", reason, remedy)

"""`listener check`: every fault that an operator can meet is named, with what to do about it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devstack.stack import Stack
from listener.adapters.keys import kind_of_key
from listener.cli.check_project import _clock
from listener.cli.findings import Finding
from tests.support.commands import listener

ALL = [
    "settings",
    "handlers",
    "generator",
    "device",
    "memory",
    "disk",
    "port",
    "webhooks",
    "moderation",
    "key",
    "supabase",
    "clock",
    "schema",
    "grants",
    "publication",
    "tables",
    "storage",
    "realtime",
]
SIGNING = "whsec_" + "QUFB" * 8


async def findings(stack: Stack, status: int, **settings: str) -> dict[str, dict[str, Any]]:
    ended = await listener("check", "--json", place=stack, **settings)
    assert ended.status == status, ended.said + ended.complained
    assert stack.keys.service_role_key not in ended.said + ended.complained
    return {finding["name"]: finding for finding in json.loads(ended.said)}


async def test_a_sound_project_is_a_table_of_ok(stack: Stack) -> None:
    ended = await listener("check", place=stack)
    lines = [line.split() for line in ended.said.splitlines()]
    assert [(line[0], line[1]) for line in lines] == [(name, "ok") for name in ALL], ended.said
    assert ended.status == 0


async def test_the_public_key_is_named_as_what_it_is(stack: Stack) -> None:
    seen = await findings(stack, 1, SUPABASE_SERVICE_ROLE_KEY=stack.keys.anon_key)
    assert seen["key"]["words"] == "SUPABASE_SERVICE_ROLE_KEY is an anon JWT, which serves no worker"
    assert "service_role" in seen["key"]["remedy"]
    assert "42501" in seen["supabase"]["words"]
    assert stack.keys.anon_key not in str(seen)


async def test_a_key_that_the_project_does_not_know_is_refused_and_not_away(stack: Stack) -> None:
    settings = {"SUPABASE_SERVICE_ROLE_KEY": "sb_secret_" + "a" * 32}
    seen = await findings(stack, 1, **settings)
    assert seen["supabase"]["words"].startswith(f"{stack.url} refused")
    assert "API settings" in seen["supabase"]["remedy"]
    asked = await listener("status", place=stack, **settings)
    assert (asked.status, asked.complained.startswith(f"{stack.url} refused")) == (1, True), asked.complained


async def test_a_port_that_is_taken_and_a_kind_without_a_table_are_warnings(
    stack: Stack, connection: asyncpg.Connection[Any]
) -> None:
    await connection.execute("delete from listener.session_tables where kind = 'pack'")
    port = stack.url.rsplit(":", 1)[1]
    seen = await findings(stack, 0, LISTENER_HTTP_PORT=port, LISTENER_KINDS="headshot,pack", LISTENER_SOURCES="sweep")
    assert seen["port"]["status"] == seen["tables"]["status"] == "warning"
    assert "Address already in use" in seen["port"]["words"]
    assert seen["tables"]["words"] == "no table holds sessions of pack"


async def test_a_project_that_is_away_is_one_line_and_not_a_traceback(stack: Stack) -> None:
    seen = await findings(stack, 1, SUPABASE_URL="http://127.0.0.1:1")
    assert seen["supabase"]["words"].startswith("http://127.0.0.1:1 does not answer")
    assert "not paused" in seen["supabase"]["remedy"]
    assert "realtime" not in seen


async def test_every_fault_of_the_database_is_named_with_its_remedy(
    stack: Stack, connection: asyncpg.Connection[Any]
) -> None:
    await connection.execute(
        """
        revoke execute on function public.report_progress(uuid, jsonb) from service_role;
        alter publication supabase_realtime drop table public.headshot_sessions;
        update listener.session_tables set broken_at = now(), broken_reason = 'column gone';
        update storage.buckets set public = true where id = 'headshots';
        insert into listener.kinds (kind, bucket) values ('later', 'nowhere');
        """
    )
    seen = await findings(stack, 1, LISTENER_SOURCES="sweep")
    assert {name for name, one in seen.items() if one["status"] == "failing"} == {
        "grants",
        "publication",
        "tables",
        "storage",
    }
    assert "report_progress" in seen["grants"]["words"]
    assert seen["publication"]["remedy"] == ("alter publication supabase_realtime add table public.headshot_sessions")
    assert "column gone" in seen["tables"]["words"]
    assert "bucket nowhere is missing" in seen["storage"]["words"]
    assert "bucket headshots is public" in seen["storage"]["words"]


async def test_a_role_that_silences_realtime_is_named(stack: Stack, connection: asyncpg.Connection[Any]) -> None:
    await connection.execute(
        "create schema hidden; create table hidden.notes (id int primary key);"
        "grant select on hidden.notes to authenticated; alter publication supabase_realtime add table hidden.notes"
    )
    seen = await findings(stack, 1, LISTENER_SOURCES="sweep")
    assert seen["publication"]["words"] == "authenticated may read hidden.notes but not use its schema"
    assert "grant usage" in seen["publication"]["remedy"]


async def test_a_machine_that_is_short_is_told_so_before_a_worker_waits_for_ever(stack: Stack, tmp_path: Path) -> None:
    seen = await findings(
        stack,
        1,
        LISTENER_SOURCES="sweep",
        LISTENER_MIN_MEMORY_MIB="99999999",
        LISTENER_MIN_DISK_MIB="9999999999",
        LISTENER_DEVICE="cuda",
        LISTENER_CACHE_DIR=str(tmp_path),
        PATH=str(tmp_path),
    )
    assert "LISTENER_MIN_MEMORY_MIB" in seen["memory"]["remedy"]
    assert f"MiB are free at {tmp_path}" in seen["disk"]["words"]
    assert seen["device"]["words"] == "LISTENER_DEVICE=cuda, but no GPU answers: nvidia-smi is not installed"


async def test_the_gpu_is_told_as_the_driver_tells_it(stack: Stack, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 142000, 143771, 570.1'\n")
    tool.chmod(0o755)
    seen = await findings(stack, 0, LISTENER_SOURCES="sweep", LISTENER_DEVICE="cuda", PATH=f"{tmp_path}:/bin:/usr/bin")
    assert seen["device"]["words"] == "NVIDIA H200, 142000 of 143771 MiB free, driver 570.1"
    tool.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'; exit 18\n")
    seen = await findings(stack, 1, LISTENER_SOURCES="sweep", LISTENER_DEVICE="cuda", PATH=f"{tmp_path}:/bin:/usr/bin")
    assert "Driver/library version mismatch" in seen["device"]["words"]


async def test_a_file_of_rules_that_cannot_be_read_is_told_before_the_worker_ends_with_it(
    stack: Stack, tmp_path: Path
) -> None:
    seen = await findings(
        stack, 1, LISTENER_SOURCES="sweep", LISTENER_MODERATION_RULES=str(tmp_path / "not-there.toml")
    )
    assert (seen["moderation"]["status"], "not-there.toml" in seen["moderation"]["words"]) == ("failing", True)


async def test_webhooks_that_nobody_can_reach_are_a_warning(stack: Stack) -> None:
    seen = await findings(stack, 0, LISTENER_SOURCES="webhook,sweep", LISTENER_WEBHOOK_SECRETS=SIGNING)
    assert (seen["webhooks"]["status"], "LISTENER_HTTP_HOST" in seen["webhooks"]["remedy"]) == ("warning", True)
    assert SIGNING not in str(seen)


@pytest.mark.parametrize(("skew_s", "status"), [(0, "ok"), (4, "ok"), (-30, "warning"), (3600, "failing")])
def test_a_clock_that_is_wrong_is_noticed_however_slow_the_answer_was(skew_s: int, status: str) -> None:
    asked_at = datetime(2030, 1, 1, tzinfo=UTC)
    answered_at = asked_at + timedelta(seconds=2)
    there = asked_at + timedelta(seconds=1 + skew_s)
    assert _clock(there, asked_at, answered_at).status == status


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("sb_secret_abcdefghijkl", "a secret key"),
        ("sb_publishable_abcdefghijkl", "a publishable key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln", "a service_role JWT"),
        ("eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "a JWT without a role"),
        ("a.%%%.c", "a JWT that cannot be read"),
        ("a.WzFd.c", "a JWT that cannot be read"),
        ("plain words", "not a key of Supabase"),
    ],
)
def test_a_key_is_named_by_its_sort_and_never_shown(key: str, kind: str) -> None:
    assert kind_of_key(key) == kind


def test_a_finding_shows_no_secret_and_no_remedy_where_none_is_needed() -> None:
    shown = Finding("x", "failing", "GET https://x/y?token=CANARY123", "use sb_secret_CANARY").shown()
    assert "CANARY" not in shown
    assert "->" in shown
    assert "->" not in Finding("x", "ok", "fine", "nothing").shown()

"""What `listener check` asks of the database: each fault that stops workers or Realtime is named."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.sql.project import Project


async def checked(project: Project) -> Any:
    return await project.answer("survey_project")


async def test_a_fresh_project_has_no_fault(project: Project) -> None:
    seen = await checked(project)
    assert (seen["role"], seen["publication"], seen["canary"]) == ("service_role", True, True)
    assert (seen["not_granted"], seen["open_to_strangers"], seen["shut_out"]) == ([], [], [])
    ours = {
        "headshot_sessions": "headshot",
        "generation_sessions": "tryon",
        "store_generation_sessions": "tryon",
        "avatar_sessions": "avatar",
        "store_avatar_sessions": "avatar",
        "generation_jobs": "pack",
    }
    assert seen["tables"] == [
        {"table": f"public.{table}", "kind": kind, "broken": None, "is_published": True} for table, kind in ours.items()
    ]
    assert {"headshots", "generated", "stores", "characters", "videos"} <= set(seen["buckets"])
    assert seen["schema_version"] >= seen["oldest_worker"] >= 1
    assert datetime.fromisoformat(seen["now"]).tzinfo is not None


async def test_a_function_that_is_missing_or_not_granted_is_named(project: Project) -> None:
    await project.connection.execute(
        "revoke execute on function public.claim_sessions(uuid, uuid, text[], integer) from service_role"
    )
    await project.connection.execute("drop function public.report_progress(uuid, jsonb)")
    assert sorted((await checked(project))["not_granted"]) == ["claim_sessions", "report_progress"]


async def test_a_function_that_strangers_may_call_is_named(project: Project) -> None:
    await project.connection.execute("grant execute on function public.sweep_sessions(integer) to authenticated")
    assert (await checked(project))["open_to_strangers"] == ["sweep_sessions"]


async def test_a_reader_without_usage_on_a_published_schema_is_named(project: Project) -> None:
    """Measured: one such role silences Realtime for the whole project."""
    await project.connection.execute(
        "create schema hidden; create table hidden.notes (id int primary key);"
        "grant select on hidden.notes to authenticated; alter publication supabase_realtime add table hidden.notes"
    )
    assert (await checked(project))["shut_out"] == [{"role": "authenticated", "table": "hidden.notes"}]
    await project.connection.execute("grant usage on schema hidden to authenticated")
    assert (await checked(project))["shut_out"] == []


async def test_a_watched_table_that_is_not_published_or_broken_is_told(project: Project) -> None:
    await project.connection.execute(
        "alter publication supabase_realtime drop table public.headshot_sessions, listener.workers;"
        "update listener.session_tables set broken_at = now(), broken_reason = 'column gone'"
    )
    seen = await checked(project)
    assert (seen["tables"][0]["is_published"], seen["tables"][0]["broken"], seen["canary"]) == (
        False,
        "column gone",
        False,
    )


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_ask(project: Project, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, uuid4()) as connection:
            await connection.fetch("select public.survey_project()")

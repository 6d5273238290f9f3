"""What an operator sees at a glance: workers that are alive, what waits, what is broken."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.adopted import PLAIN, TABLE, watch
from tests.sql.project import Project


async def status(project: Project) -> Any:
    return await project.answer("service_status")


async def test_nothing_yet_is_told_as_nothing(project: Project) -> None:
    seen = await status(project)
    assert seen["workers"] == []
    assert seen["broken_tables"] == []
    (headshot,) = [kind for kind in seen["kinds"] if kind["kind"] == "headshot"]
    assert headshot == {"kind": "headshot", "queued": 0, "delayed": 0, "processing": 0, "oldest_wait_s": 0}
    assert seen["schema_version"] >= 1


async def test_open_sessions_are_counted_by_what_they_wait_for(project: Project, owner: UUID) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    held = await project.held(await project.worker(lease_s=300), owner)
    await project.insert(owner, 3)
    again = await project.held(held.worker, uuid4())
    await project.settle("retry_sessions", again, code="x", message="x", details={}, delay_s=60)
    await project.set_clock("2030-01-01 00:00:40+00")
    seen = await status(project)
    (headshot,) = [kind for kind in seen["kinds"] if kind["kind"] == "headshot"]
    (worker,) = seen["workers"]
    assert headshot["queued"] + headshot["delayed"] + headshot["processing"] == 5
    assert (headshot["delayed"], headshot["oldest_wait_s"]) == (1, 40)
    assert worker["running"] == headshot["processing"]
    assert (worker["name"], worker["slots"], worker["lease_left_s"]) == ("test", 4, 260)


async def test_a_worker_whose_lease_ran_out_is_not_shown(project: Project) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    await project.worker(lease_s=10)
    assert len((await status(project))["workers"]) == 1
    await project.set_clock("2030-01-01 00:00:11+00")
    assert (await status(project))["workers"] == []


async def test_a_broken_table_is_shown_with_the_reason(project: Project) -> None:
    await project.connection.execute(
        "update listener.session_tables set broken_at = now(), broken_reason = 'column gone' "
        "where relation = 'public.headshot_sessions'::regclass"
    )
    assert (await status(project))["broken_tables"] == [{"table": "public.headshot_sessions", "reason": "column gone"}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("alter table {0} rename column message to note; alter table {0} drop column result", "message, result"),
        ("alter table {0} drop column user_id cascade", "user_id"),
        ("drop table {0}", "dropped"),
    ],
    ids=["state", "owner", "table"],
)
async def test_a_table_that_cannot_serve_is_shown_before_a_session_meets_it(
    project: Project, change: str, reason: str
) -> None:
    await project.connection.execute(PLAIN)
    await watch(project)
    assert (await status(project))["broken_tables"] == []
    await project.connection.execute(change.format(TABLE))
    (broken,) = (await status(project))["broken_tables"]
    assert reason in broken["reason"]
    assert broken["reason"] in str(await project.answer("survey_project"))


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_ask(project: Project, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, uuid4()) as connection:
            await connection.fetch("select public.service_status()")

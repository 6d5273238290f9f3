"""What registering does: a lease within bounds, and what the worker must know to start."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import Project


async def register(project: Project, worker: UUID, lease_s: int) -> Any:
    return await project.answer(
        "register_worker",
        p_worker=worker,
        p_name="gpu-1",
        p_kinds=["headshot"],
        p_slots=2,
        p_devices={"gpus": 1},
        p_version="0.1",
        p_lease_s=lease_s,
    )


@pytest.mark.parametrize(("asked", "given"), [(1, 2), (30, 30), (9999, 300)])
async def test_a_lease_is_bounded(project: Project, asked: int, given: int) -> None:
    assert await register(project, uuid4(), asked) == {
        "schema_version": 1,
        "oldest_worker": 1,
        "lease_s": given,
        "tables": [{"schema": "public", "table": "headshot_sessions", "kind": "headshot"}],
    }


async def test_registering_again_brings_an_expired_worker_back(project: Project) -> None:
    worker = uuid4()
    await project.set_clock("2030-01-01 00:00:00+00")
    await register(project, worker, 10)
    await project.set_clock("2030-01-01 00:01:00+00")
    await project.answer("sweep_sessions")
    assert (await project.answer("heartbeat", p_worker=worker, p_running=[], p_open_claims=[]))["known"] is False
    await register(project, worker, 10)
    assert (await project.answer("heartbeat", p_worker=worker, p_running=[], p_open_claims=[]))["known"] is True


async def test_the_canary_shows_service_role_its_beats_and_nothing_else(project: Project) -> None:
    await register(project, uuid4(), 30)
    async with project.acting("service_role") as connection:
        assert await connection.fetchval("select count(beats) from listener.workers where id is not null") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting("service_role") as connection:
            await connection.fetch("select name from listener.workers")
    for role in ("anon", "authenticated"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting(role) as connection:
                await connection.fetch("select id from listener.workers")


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_register(project: Project, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, uuid4()) as connection:
            await connection.execute("select public.register_worker($1, 'x', '{headshot}', 1, '{}', '0', 30)", uuid4())

"""Whose time it is: the database's, and only a superuser's own connection may set it."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pytest

from devstack.postgres.prepare import login_dsn
from tests.sql.project import Project

FAR = datetime(2030, 1, 1, tzinfo=UTC)


async def test_a_superusers_connection_sets_the_clock(project: Project) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    assert await project.value("select listener.clock()") == FAR
    await project.set_clock(None)
    assert await project.value("select listener.clock()") < FAR


async def test_other_sessions_cannot_set_the_clock(project: Project, database_url: str) -> None:
    authenticator = await asyncpg.connect(login_dsn(database_url, "authenticator"))
    try:
        await authenticator.execute("set listener.fake_now = '2030-01-01 00:00:00+00'")
        await authenticator.execute("set role service_role")
        assert await authenticator.fetchval("select listener.clock()") < FAR
    finally:
        await authenticator.close()


async def test_users_may_not_read_the_clock(project: Project) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting("authenticated") as connection:
            await connection.execute("select listener.clock()")

"""The project's SQL on a fresh database; every test ends with its promises kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import pytest

from tests.sql.project import Project, connect, expect_invariants

Opener = Callable[[], Awaitable[Project]]


@pytest.fixture
async def project(database_url: str) -> AsyncIterator[Project]:
    """The project on a connection of its own; the invariants are checked at the end."""
    connection = await connect(database_url)
    try:
        opened = Project(connection)
        yield opened
        await expect_invariants(opened)
    finally:
        await connection.close()


@pytest.fixture
async def another(database_url: str) -> AsyncIterator[Opener]:
    """Opens further connections to the same project."""
    opened: list[Project] = []

    async def open_project() -> Project:
        opened.append(Project(await connect(database_url)))
        return opened[-1]

    yield open_project
    for project in opened:
        await project.connection.close()


@pytest.fixture
def owner() -> UUID:
    """Somebody who has not been seen before."""
    return uuid4()

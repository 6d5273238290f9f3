"""What several tests of the HTTP API stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.sql.project import Project, connect
from tests.support.avatars import Stage, stage_on


@pytest.fixture
async def stage(stack: Stack, tmp_path: Path) -> AsyncIterator[Stage]:
    """Stores and users who order clips."""
    async with stage_on(stack, tmp_path) as opened:
        yield opened


@pytest.fixture
async def project(stack: Stack) -> AsyncIterator[Project]:
    """The stack's database, as its owner and its workers see it."""
    connection = await connect(stack.database_url)
    yield Project(connection)
    await connection.close()

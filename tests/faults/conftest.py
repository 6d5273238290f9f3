"""A stack, an app on it, and a nursery of workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from devstack.stack import Stack
from tests.faults.app import App
from tests.faults.crew import Crew, open_crew


@pytest.fixture
async def crew(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crew]:
    """No worker yet."""
    folder: Path = tmp_path_factory.mktemp("workers")
    async with open_crew(stack, folder) as opened:
        yield opened


@pytest.fixture
async def app(stack: Stack) -> AsyncIterator[App]:
    """Owners with credits."""
    async with asyncpg.create_pool(stack.database_url, min_size=1, max_size=8) as pool:
        opened = App(pool, seed=1)
        await opened.fund(100_000)
        yield opened

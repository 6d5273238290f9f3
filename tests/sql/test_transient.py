"""An error of the moment in a visible table is raised as it is: nothing is written, and the table stays in service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from tests.sql.adopted import PLAIN, TABLE, held, insert, watch
from tests.sql.conftest import Opener
from tests.sql.project import Project

LOCKED = f"lock table {TABLE} in access exclusive mode"
BROKEN = "select broken_at is not null from listener.session_tables where kind = 'portrait'"
CONFLICT = f"""
create function public.conflict() returns trigger language plpgsql as $$
begin raise exception 'somebody was first' using errcode = '40001'; end $$;
create trigger conflict before update on {TABLE} for each row execute function public.conflict();
"""
SETTLEMENTS = {
    "complete_sessions": {"result": {}},
    "fail_sessions": {"code": "time_limit"},
    "retry_sessions": {"code": "x", "message": "x", "details": {}, "delay_s": 1},
    "report_progress": {"done": 1, "total": 2, "note": "half"},
}


@asynccontextmanager
async def impatient(project: Project, another: Opener) -> AsyncIterator[None]:
    """Somebody alters the table for a while, and the worker's connection waits no longer than a moment."""
    other = (await another()).connection
    await project.connection.execute("set lock_timeout = '50ms'")
    async with other.transaction():
        await other.execute(LOCKED)
        yield
    await project.connection.execute("reset lock_timeout")


@pytest.fixture
async def adopted(project: Project) -> Project:
    """A project with a table of its app's."""
    await project.connection.execute(PLAIN)
    await watch(project)
    return project


@pytest.mark.parametrize("function", SETTLEMENTS)
async def test_a_settlement_that_cannot_reach_its_row_now_may_come_again(
    adopted: Project, owner: UUID, another: Opener, function: str
) -> None:
    await insert(adopted, owner)
    mine = await held(adopted)
    async with impatient(adopted, another):
        with pytest.raises(asyncpg.LockNotAvailableError):
            await adopted.settle(function, mine, **SETTLEMENTS[function])
    assert not await adopted.value(BROKEN)
    assert await adopted.settle(function, mine, **SETTLEMENTS[function]) == ("applied", None)


async def test_a_conflict_while_the_row_is_written_puts_no_table_out_of_service(adopted: Project, owner: UUID) -> None:
    await insert(adopted, owner)
    mine = await held(adopted)
    await adopted.connection.execute(CONFLICT)
    for function, fields in SETTLEMENTS.items():
        with pytest.raises(asyncpg.SerializationError):
            await adopted.settle(function, mine, **fields)
    assert not await adopted.value(BROKEN)
    await adopted.connection.execute(f"drop trigger conflict on {TABLE}")
    assert await adopted.settle("complete_sessions", mine, result={}) == ("applied", None)


async def test_a_claim_that_cannot_reach_its_rows_now_may_come_again(
    adopted: Project, owner: UUID, another: Opener
) -> None:
    await insert(adopted, owner)
    worker = await adopted.worker(kinds=["portrait"])
    async with impatient(adopted, another):
        with pytest.raises(asyncpg.LockNotAvailableError):
            await adopted.claim(worker, 1, None, "portrait")
    assert not await adopted.value(BROKEN)
    assert len(await adopted.claim(worker, 1, None, "portrait")) == 1


async def test_a_table_that_lost_its_key_is_out_of_service_and_its_sessions_still_end(
    adopted: Project, owner: UUID
) -> None:
    await insert(adopted, owner)
    mine = await held(adopted)
    await adopted.connection.execute(f"alter table {TABLE} rename column id to key")
    assert await adopted.settle("fail_sessions", mine, code="time_limit") == ("applied", None)
    assert await adopted.value(BROKEN)
    assert await adopted.balance(owner) == 10, "the credit is back"
    await adopted.connection.execute(f"alter table {TABLE} rename column key to id")
    await adopted.value("select listener.mend($1::text::regclass)", TABLE)

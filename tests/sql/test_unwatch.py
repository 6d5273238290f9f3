"""What leaving does: the table is the app's alone again, and nobody's credits stay behind."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from tests.sql.adopted import PLAIN, TABLE, held, insert, shown, watch
from tests.sql.project import Project, Row


@pytest.fixture(autouse=True)
async def table(project: Project) -> None:
    """A watched table."""
    await project.connection.execute(PLAIN)
    await watch(project)


async def unwatch(project: Project, relation: str = TABLE, *, cancel_open: bool = False) -> Row:
    answer: Row = await project.value(
        "select listener.unwatch($1::text::regclass, cancel_open => $2)", relation, cancel_open
    )
    return answer


async def test_triggers_publication_and_registry_go_and_columns_stay(project: Project) -> None:
    assert await unwatch(project) == {"cancelled": 0, "refunded": 0}
    assert (
        await project.rows(
            "select tgname from pg_trigger where tgrelid = $1::text::regclass and not tgisinternal", TABLE
        )
        == []
    )
    assert await project.value("select count(*) from listener.session_tables where kind = 'portrait'") == 0
    assert await project.value("select count(*) from pg_publication_tables where tablename = 'portrait_sessions'") == 0
    assert (
        await project.value(
            "select count(*) from pg_attribute where attrelid = $1::text::regclass and attname in ('status', 'result')",
            TABLE,
        )
        == 2
    )


async def test_a_row_inserted_afterwards_is_no_session(project: Project, owner: UUID) -> None:
    await unwatch(project)
    await insert(project, owner)
    assert await project.value("select count(*) from listener.sessions") == 0
    await project.connection.execute(f"truncate {TABLE}")


async def test_open_sessions_refuse_it(project: Project, owner: UUID) -> None:
    row = await insert(project, owner)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="sessions_open") as refused:
        await unwatch(project)
    assert refused.value.detail == "1 sessions are waiting or running."
    assert "cancel_open => true" in str(refused.value.hint)
    assert (await project.session(row))["status"] == "queued"


async def test_open_sessions_are_cancelled_and_refunded_when_it_is_asked_for(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    running = await held(project)
    waiting = await insert(project, owner)
    assert await unwatch(project, cancel_open=True) == {"cancelled": 2, "refunded": 2}
    assert await project.balance(owner) == 10
    for row in (running.row, waiting):
        assert (await shown(project, row))["status"] == "cancelled"
    pulse = await project.answer("heartbeat", p_worker=running.worker, p_running=[running.item()], p_open_claims=[])
    assert pulse["lost"] == [running.item()]
    assert await project.settle("complete_sessions", running, result={}) == ("refused", "SL001")
    assert await project.balance(owner) == 10


async def test_a_table_that_was_published_before_stays_so(project: Project) -> None:
    await unwatch(project)
    await project.connection.execute(f"alter publication supabase_realtime add table {TABLE}")
    await watch(project)
    await unwatch(project)
    assert await project.value("select count(*) from pg_publication_tables where tablename = 'portrait_sessions'") == 1


async def test_a_table_can_be_watched_again_and_its_old_rows_stay_alone(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    attempt = await held(project)
    await project.settle("complete_sessions", attempt, result={})
    await unwatch(project)
    answer = await watch(project, backfill=True)
    assert (answer["added"], answer["backfilled"]) == ([], 0)
    await insert(project, owner)
    assert (await held(project)).row != attempt.row
    assert await project.balance(owner) == 8


async def test_a_dropped_table_is_left_by_its_oid(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    oid = await project.value("select $1::text::regclass::oid", TABLE)
    await project.connection.execute(f"drop table {TABLE}")
    answer = await project.value(f"select listener.unwatch({oid}, cancel_open => true)")
    assert answer == {"cancelled": 1, "refunded": 1}
    assert await project.balance(owner) == 10
    await project.held()


async def test_a_table_that_is_not_watched_is_named(project: Project) -> None:
    await unwatch(project)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="cannot be unwatched: not_watched"):
        await unwatch(project)

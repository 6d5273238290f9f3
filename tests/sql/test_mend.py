"""What mending does: a broken table serves again, and its rows show what became of their sessions meanwhile."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest

from tests.sql.adopted import PLAIN, TABLE, held, insert, shown, watch
from tests.sql.conftest import Opener
from tests.sql.project import Project, Row, until_blocked


@pytest.fixture(autouse=True)
async def table(project: Project) -> None:
    """A watched table."""
    await project.connection.execute(PLAIN)
    await watch(project)


async def mend(project: Project, **arguments: object) -> Row:
    names = "".join(f", {name} => ${n}" for n, name in enumerate(arguments, 2))
    answer: Row = await project.value(f"select listener.mend($1::text::regclass{names})", TABLE, *arguments.values())
    return answer


async def is_broken(project: Project) -> bool:
    return bool(
        await project.value("select broken_at is not null from listener.session_tables where kind = 'portrait'")
    )


async def test_rows_show_what_settled_while_the_table_was_broken(project: Project, owner: UUID) -> None:
    for _ in range(3):
        await insert(project, owner)
    done = await held(project)
    failed = await held(project, worker=done.worker)
    running = await held(project, worker=done.worker)
    await project.connection.execute(f"alter table {TABLE} rename column error_code to code")
    assert await project.settle("complete_sessions", done, result={"seed": 4}) == ("applied", None)
    assert await project.settle("fail_sessions", failed, code="content_rejected") == ("applied", None)
    assert await project.settle("report_progress", running, done=1, total=2, note="half") == ("applied", None)
    assert await is_broken(project)
    assert (await shown(project, done.row))["status"] == "processing"

    await project.connection.execute(f"alter table {TABLE} rename column code to error_code")
    assert await mend(project) == {"was_broken": True, "projected": 3}
    assert not await is_broken(project)
    assert (await shown(project, done.row))["result"] == {"seed": 4, "artifacts": []}
    assert (await shown(project, failed.row))["error_code"] == "content_rejected"
    assert (await shown(project, running.row))["progress"] == 50
    assert await project.balance(owner) == 8


async def test_a_mended_table_is_claimed_from_again(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    await project.connection.execute(f"alter table {TABLE} add constraint no_work check (status <> 'processing')")
    worker = await project.worker(kinds=["portrait"])
    assert await project.claim(worker, 1, None, "portrait") == []
    assert await is_broken(project)
    await project.connection.execute(f"alter table {TABLE} drop constraint no_work")
    await mend(project)
    await held(project, worker=worker)


async def test_a_table_that_still_refuses_a_state_stays_broken(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    await project.connection.execute(f"alter table {TABLE} add constraint no_work check (status <> 'processing')")
    assert await project.claim(await project.worker(kinds=["portrait"]), 1, None, "portrait") == []
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="state_refused") as refused:
        await mend(project)
    assert "no_work" in str(refused.value.detail)
    assert await is_broken(project)


async def test_columns_that_were_renamed_are_mapped_anew(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    attempt = await held(project)
    await project.connection.execute(f"alter table {TABLE} rename column finished_at to completed_at")
    await project.settle("complete_sessions", attempt, result={})
    assert await is_broken(project)
    assert (await mend(project, columns={"finished_at": "completed_at"}))["projected"] == 1
    row = await shown(project, attempt.row)
    assert (row["status"], row["completed_at"] is not None) == ("completed", True)


async def test_what_shows_the_state_after_a_mend_is_not_the_users_to_write(project: Project, owner: UUID) -> None:
    await project.connection.execute(
        f"alter table {TABLE} rename column message to note; alter table {TABLE} add column caption text; "
        f"grant insert (caption), update (caption, prompt) on {TABLE} to authenticated"
    )
    await mend(project, columns={"message": "caption"})
    row = await insert(project, owner, caption="my own words")
    assert (await shown(project, row))["caption"] is None
    rights = "select has_column_privilege('authenticated', $1::text, $2, 'update')"
    assert not await project.value(rights, TABLE, "caption")
    assert await project.value(rights, TABLE, "prompt")


async def test_a_table_that_lost_its_status_refuses_rows_until_it_is_mapped_anew(project: Project, owner: UUID) -> None:
    await project.connection.execute(f"alter table {TABLE} rename column status to state")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="session_table_without_status") as refused:
        await insert(project, owner)
    assert "listener.mend" in str(refused.value.hint)
    assert await project.rows("select from listener.sessions") == []
    await mend(project, columns={"status": "state"})
    await insert(project, owner)
    assert (await held(project)).attempt == 1


async def test_a_mapping_to_nothing_is_refused_by_name(project: Project) -> None:
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="unknown_state_column"):
        await mend(project, columns={"state": "status"})


async def test_a_table_that_is_whole_may_be_mended_and_nothing_changes(project: Project, owner: UUID) -> None:
    row = await insert(project, owner)
    assert await mend(project) == {"was_broken": False, "projected": 0}
    assert (await shown(project, row))["version"] == 0


async def test_a_settlement_under_way_is_not_forgotten(project: Project, owner: UUID, another: Opener) -> None:
    await insert(project, owner)
    attempt = await held(project)
    await project.connection.execute(f"alter table {TABLE} rename column error_code to code")
    await project.settle("report_progress", attempt, done=1, total=2)
    assert await is_broken(project)
    await project.connection.execute(f"alter table {TABLE} rename column code to error_code")
    settler, mender = await another(), await another()
    async with settler.acting("service_role") as connection:
        # It has read that the table is broken and shows nothing; the mending must wait for it.
        await connection.fetch(
            "select * from public.complete_sessions($1, $2)", attempt.worker, [attempt.item(result={})]
        )
        mending = asyncio.ensure_future(mend(mender))
        await until_blocked(project.connection, mender.connection)
    assert (await mending)["projected"] == 1
    assert (await shown(project, attempt.row))["status"] == "completed"


async def test_a_table_that_is_not_watched_is_named(project: Project) -> None:
    await project.connection.execute("create table public.stranger (id uuid primary key)")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="not_watched"):
        await project.value("select listener.mend('public.stranger')")

"""What a delete does: the open sessions of the rows are cancelled and refunded, once."""

from __future__ import annotations

import asyncio
from uuid import UUID

from tests.sql.conftest import Opener
from tests.sql.project import Project, until_blocked

DELETE = "delete from public.headshot_sessions where id = $1"


async def test_deleting_a_queued_row_cancels_and_refunds(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner)
    await project.connection.execute(DELETE, row)
    assert (await project.session(row))["status"] == "cancelled"
    assert await project.balance(owner) == 10
    assert await project.entries(owner) == ["grant", "charge", "refund"]


async def test_deleting_a_running_row_takes_it_from_its_worker(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.connection.execute(DELETE, held.row)
    pulse = await project.answer("heartbeat", p_worker=held.worker, p_running=[held.item()], p_open_claims=[])
    assert pulse["lost"] == [held.item()]
    assert await project.settle("complete_sessions", held, result={}) == ("refused", "SL001")
    assert await project.balance(owner) == 10


async def test_deleting_a_finished_row_moves_no_money(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    assert await project.settle("complete_sessions", held, result={}) == ("applied", None)
    await project.connection.execute(DELETE, held.row)
    assert (await project.session(held))["status"] == "completed"
    assert await project.balance(owner) == 9


async def test_a_bulk_delete_refunds_every_owner(project: Project, owner: UUID) -> None:
    other = UUID(int=1)
    await project.insert(owner, 3)
    await project.insert(other, 2)
    await project.connection.execute("delete from public.headshot_sessions")
    assert (await project.balance(owner), await project.balance(other)) == (10, 10)


async def test_a_delete_and_a_settlement_of_one_row_do_not_deadlock(project: Project, another: Opener) -> None:
    held = await project.held()
    deleter, settler = await another(), await another()
    await deleter.connection.execute("begin")
    await deleter.connection.execute("select from public.headshot_sessions where id = $1 for update", held.row)
    async with asyncio.TaskGroup() as group:
        settled = group.create_task(settler.settle("fail_sessions", held, code="generation_failed"))
        await until_blocked(project.connection, settler.connection)
        # Would wait for the settler for ever, had that locked the session before the row.
        await deleter.connection.execute(DELETE, held.row)
        await deleter.connection.execute("commit")
    assert settled.result() == ("refused", "SL001")
    assert await project.balance((await project.session(held))["owner"]) == 10

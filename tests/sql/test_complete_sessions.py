"""What completing does: once, by the attempt that holds the session, and the credits are kept."""

from __future__ import annotations

import asyncio
from uuid import UUID

from tests.sql.conftest import Opener
from tests.sql.project import SECOND_TABLE, Project, until_blocked


async def test_a_completed_session_is_shown_and_its_credits_are_kept(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    assert await project.settle("complete_sessions", held, result={"seed": 1}) == ("applied", None)
    row = await project.row(held)
    assert (row["status"], row["progress"], row["result"]) == ("completed", 100, {"seed": 1, "artifacts": []})
    assert row["finished_at"] is not None
    assert (await project.balance(owner), await project.entries(owner)) == (9, ["grant", "charge"])


async def test_the_same_call_again_is_already_done(project: Project) -> None:
    held = await project.held()
    await project.settle("complete_sessions", held, result={"seed": 1})
    assert await project.settle("complete_sessions", held, result={"seed": 2}) == ("already", None)
    assert (await project.row(held))["result"]["seed"] == 1


async def test_an_item_that_comes_twice_in_a_call_counts_once(project: Project) -> None:
    held = await project.held()
    outcomes = await project.outcomes("complete_sessions", held.worker, held.item(), held.item())
    assert outcomes == [("applied", None), ("already", None)]


async def test_a_stale_attempt_cannot_complete_the_next_one(project: Project) -> None:
    held = await project.held()
    await project.settle("release_sessions", held)
    again = await project.again(held)
    assert await project.settle("complete_sessions", held, result={"late": True}) == ("refused", "SL001")
    assert (await project.row(held))["status"] == "processing"
    assert await project.settle("complete_sessions", again, result={}) == ("applied", None)


async def test_another_verdict_after_the_end_is_refused(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.settle("complete_sessions", held, result={})
    for function in ("fail_sessions", "cancel_sessions", "retry_sessions", "release_sessions"):
        assert await project.settle(function, held, code="generation_failed") == ("refused", "SL003")
    assert (await project.row(held))["status"] == "completed"
    assert await project.balance(owner) == 9


async def test_opposite_verdicts_at_the_same_time_leave_one(project: Project, owner: UUID, another: Opener) -> None:
    first, second = await another(), await another()
    for _ in range(5):
        held = await project.held(owner=owner)
        outcomes = await asyncio.gather(
            first.settle("complete_sessions", held, result={}),
            second.settle("fail_sessions", held, code="generation_failed"),
        )
        assert sorted(outcomes) == [("applied", None), ("refused", "SL003")]
    kept = await project.value("select count(*) from listener.sessions where status = 'completed'")
    assert await project.balance(owner) == 10 - kept


async def test_a_batch_settles_many(project: Project, owner: UUID) -> None:
    await project.insert(owner, 5)
    worker = await project.worker()
    claimed = await project.claim(worker, 5)
    items = [{"session": str(row["session"]), "attempt": 1, "result": {"n": n}} for n, row in enumerate(claimed)]
    assert await project.outcomes("complete_sessions", worker, *items) == [("applied", None)] * 5
    shown = {row["n"] for row in await project.rows("select (result ->> 'n')::int as n from public.headshot_sessions")}
    assert shown == {0, 1, 2, 3, 4}


async def test_a_completion_that_waited_for_a_rescue_is_refused(project: Project, another: Opener) -> None:
    held, sweeper, watcher = await project.held(), await another(), await another()
    await sweeper.connection.execute("begin")
    await sweeper.connection.execute("select from public.headshot_sessions where id = $1 for update", held.row)
    async with asyncio.TaskGroup() as group:
        completed = group.create_task(project.settle("complete_sessions", held, result={}))
        await until_blocked(watcher.connection, project.connection)
        await sweeper.connection.execute("select listener.rescue_sessions(array[$1::uuid], 10)", held.worker)
        await sweeper.connection.execute("commit")
    assert completed.result() == ("refused", "SL001")
    assert (await project.session(held))["status"] == (await project.row(held))["status"] == "queued"


async def test_an_artifact_that_was_saved_while_the_completion_waited_is_shown(
    project: Project, another: Opener
) -> None:
    held = await project.held()
    artifact = held.item(name="image", bucket="headshots", path="a/b.png", size_bytes=1, content_type="image/png")
    settler, watcher = await another(), await another()
    async with asyncio.TaskGroup() as group, project.connection.transaction():
        await project.outcomes("add_artifacts", held.worker, artifact)
        completing = group.create_task(settler.settle("complete_sessions", held, result={}))
        await until_blocked(watcher.connection, settler.connection)
    assert completing.result() == ("applied", None)
    assert [shown["name"] for shown in (await project.row(held))["result"]["artifacts"]] == ["image"]


async def test_a_cancel_that_was_asked_while_the_completion_waited_is_told(
    project: Project, another: Opener, owner: UUID
) -> None:
    held = await project.held(owner=owner)
    settler, watcher = await another(), await another()
    async with asyncio.TaskGroup() as group, project.acting("authenticated", owner) as connection:
        await connection.execute("select public.cancel_session($1)", held.row)
        completing = group.create_task(
            settler.rpc("complete_sessions", p_worker=held.worker, p_items=[held.item(result={})])
        )
        await until_blocked(watcher.connection, settler.connection)
    assert [(row["outcome"], row["cancel_requested"]) for row in completing.result()] == [("applied", True)]
    assert (await project.row(held))["status"] == "completed"


async def test_one_call_settles_sessions_of_two_tables_and_answers_in_order(project: Project, owner: UUID) -> None:
    await project.connection.execute(SECOND_TABLE)
    await project.grant(owner, 10)
    await project.insert(owner, 3)
    await project.connection.execute(
        "insert into public.portrait_sessions (user_id, prompt) select $1, 'p' from generate_series(1, 3)", owner
    )
    worker = await project.worker(kinds=("headshot", "portrait"))
    claimed = await project.claim(worker, 6, None, "headshot", "portrait")
    items = [{"session": str(row["session"]), "attempt": 1, "result": {}} for row in reversed(claimed)]
    answers = await project.rpc("complete_sessions", p_worker=worker, p_items=items)
    assert [(str(row["session"]), row["outcome"]) for row in answers] == [(i["session"], "applied") for i in items]
    shown = await project.rows(
        "select status from public.headshot_sessions union all select status from public.portrait_sessions"
    )
    assert [row["status"] for row in shown] == ["completed"] * 6


async def test_answers_come_in_the_order_of_the_items(project: Project, owner: UUID) -> None:
    await project.insert(owner, 9)
    worker = await project.worker()
    claimed = sorted(await project.claim(worker, 9), key=lambda row: str(row["session"])[::-1])
    items = [{"session": str(row["session"]), "attempt": 1, "result": {}} for row in claimed]
    answers = await project.rpc("complete_sessions", p_worker=worker, p_items=items)
    assert [str(row["session"]) for row in answers] == [item["session"] for item in items]

"""What settling gives back: all of what failed, the undelivered part of a pack, by policy what was cancelled; once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Held, Project, until_blocked


async def costs(project: Project, credits: int, cancel_refund: str = "all") -> None:
    await project.connection.execute("update listener.session_tables set credits = $1", credits)
    await project.connection.execute("update listener.kinds set cancel_refund = $1", cancel_refund)


async def cancel(project: Project, user: UUID, row: UUID) -> Any:
    async with project.acting("authenticated", user) as connection:
        return await connection.fetchval("select public.cancel_session($1)", row)


async def artifact(project: Project, held: Held) -> None:
    outcome = await project.settle(
        "add_artifacts",
        held,
        name="1.png",
        bucket="headshots",
        path=f"{held.row}/1.png",
        width=1,
        height=1,
        size_bytes=9,
        content_type="image/png",
    )
    assert outcome == ("applied", None)


async def reasons(project: Project, owner: UUID) -> list[tuple[str, int, str]]:
    found = await project.rows(
        "select entry, amount, reason from listener.ledger where owner = $1 and entry <> 'grant' order by id", owner
    )
    return [(row["entry"], row["amount"], row["reason"]) for row in found]


@pytest.mark.parametrize(("refund", "kept"), [(3, 5), (8, 0), (99, 0), (0, 8), (-4, 8), (None, 8)], ids=str)
async def test_the_undelivered_part_of_a_pack_comes_back_up_to_the_charge(
    project: Project, owner: UUID, refund: int | None, kept: int
) -> None:
    await costs(project, 8)
    held = await project.held(owner=owner)
    assert await project.settle("complete_sessions", held, result={}, refund=refund) == ("applied", None)
    assert await project.balance(owner) == 10 - kept
    refunds = [("refund", 8 - kept, "undelivered")] if kept < 8 else []
    assert await reasons(project, owner) == [("charge", -8, "headshot"), *refunds]
    assert (await project.row(held))["status"] == "completed"


async def test_a_partial_refund_comes_once(project: Project, owner: UUID) -> None:
    await costs(project, 8)
    held = await project.held(owner=owner)
    outcomes = [await project.settle("complete_sessions", held, result={}, refund=refund) for refund in (3, 3, 5)]
    assert outcomes == [("applied", None), ("already", None), ("already", None)]
    assert await project.balance(owner) == 5
    with pytest.raises(asyncpg.PostgresError) as refused:
        await project.answer("refund_session", p_session=held.session)
    assert refused.value.sqlstate == "SL003"


async def test_a_stale_attempt_refunds_nothing(project: Project, owner: UUID) -> None:
    await costs(project, 8)
    held = await project.held(owner=owner)
    await project.settle("release_sessions", held)
    again = await project.again(held)
    assert await project.settle("complete_sessions", held, refund=8) == ("refused", "SL001")
    assert await project.settle("complete_sessions", again, refund=2) == ("applied", None)
    assert await project.balance(owner) == 4


async def test_a_batch_refunds_each_its_own_part(project: Project, owner: UUID) -> None:
    await costs(project, 3)
    await project.insert(owner, 3)
    worker = await project.worker()
    items = [
        {"session": str(row["session"]), "attempt": 1, "result": {}, "refund": part}
        for part, row in enumerate(await project.claim(worker, 3))
    ]
    await project.outcomes("complete_sessions", worker, *items)
    assert await project.balance(owner) == 1 + 0 + 1 + 2


async def test_what_was_settled_cannot_be_settled_for_another_amount(project: Project, owner: UUID) -> None:
    await costs(project, 8)
    held = await project.held(owner=owner)
    await project.settle("complete_sessions", held, result={}, refund=3)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await project.connection.execute("update listener.sessions set refund_due = 8")
    assert refused.value.sqlstate == "SL003"


async def test_the_invariants_see_a_partial_refund_that_is_missing(project: Project, owner: UUID) -> None:
    await costs(project, 8)
    held = await project.held(owner=owner)
    await project.connection.execute(
        "update listener.sessions set status = 'completed', finished_at = now(), refund_due = 3 where id = $1",
        held.session,
    )
    broken = [row["invariant"] for row in await project.rows("select invariant from listener.invariants")]
    assert broken == ["open_is_not_refunded_and_completed_only_in_part"]
    await project.connection.execute("select listener.refund(array[$1::uuid])", held.session)
    await project.connection.execute("select listener.project(array[$1::uuid])", held.session)
    await project.connection.execute(
        "insert into listener.events (session, event, kind, owner, properties, at) "
        "select id, 'generation_completed', kind, owner, '{}', now() from listener.sessions where id = $1",
        held.session,
    )


@pytest.mark.parametrize(
    ("policy", "said", "kept"),
    [("all", 0, 0), ("none", 8, 8), ("undelivered", 5, 3), ("undelivered", 99, 0), ("undelivered", None, 4)],
)
async def test_a_cancel_while_running_gives_back_what_the_kind_says(
    project: Project, owner: UUID, policy: str, said: int | None, kept: int
) -> None:
    await costs(project, 8, policy)
    held = await project.held(owner=owner)
    await project.settle("report_progress", held, done=1, total=2)
    await artifact(project, held)
    assert await cancel(project, owner, held.row) == {"outcome": "requested", "refund": policy}
    assert await project.settle("cancel_sessions", held, refund=said) == ("applied", None)
    assert await project.balance(owner) == 10 - kept
    shown = await project.row(held)
    assert shown["status"] == "cancelled"
    assert (shown["result"] is not None) == (kept > 0), "what was paid for stays visible"


async def test_a_cancelled_pack_shows_what_its_handler_said_beside_what_was_made(project: Project, owner: UUID) -> None:
    await costs(project, 8, "undelivered")
    held = await project.held(owner=owner)
    await artifact(project, held)
    await cancel(project, owner, held.row)
    for outcome in ("applied", "already"):
        assert await project.settle("cancel_sessions", held, refund=7, result={"made": 1}) == (outcome, None)
        shown = await project.row(held)
        assert (shown["result"]["made"], len(shown["result"]["artifacts"])) == (1, 1)
        assert await project.balance(owner) == 9


async def test_nothing_delivered_is_nothing_kept(project: Project, owner: UUID) -> None:
    await costs(project, 8, "undelivered")
    held = await project.held(owner=owner)
    await project.settle("report_progress", held, done=1, total=2)
    await cancel(project, owner, held.row)
    await project.settle("cancel_sessions", held)
    assert await project.balance(owner) == 10


@pytest.mark.parametrize("policy", ["none", "undelivered"])
async def test_before_the_start_all_comes_back_whatever_the_policy(project: Project, owner: UUID, policy: str) -> None:
    await costs(project, 5, policy)
    first, second = await project.insert(owner, 2)
    assert await cancel(project, owner, first) == {"outcome": "cancelled", "refund": "all"}
    async with project.acting("service_role") as connection:
        await connection.execute("delete from public.headshot_sessions where id = $1", second)
    assert await project.balance(owner) == 10


async def test_a_waiting_retry_is_not_running(project: Project, owner: UUID) -> None:
    await costs(project, 5, "none")
    held = await project.held(owner=owner)
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=60)
    assert await cancel(project, owner, held.row) == {"outcome": "cancelled", "refund": "all"}
    assert await project.balance(owner) == 10


async def test_deleting_the_row_is_no_way_around_the_policy(project: Project, owner: UUID) -> None:
    await costs(project, 5, "none")
    held = await project.held(owner=owner)
    async with project.acting("service_role") as connection:
        await connection.execute("delete from public.headshot_sessions where id = $1", held.row)
    assert await project.balance(owner) == 5


@pytest.mark.parametrize("end", ["release_sessions", "retry_sessions", "fail_sessions"])
async def test_what_we_interrupted_ourselves_comes_back_whole(project: Project, owner: UUID, end: str) -> None:
    await costs(project, 5, "none")
    held = await project.held(owner=owner)
    await cancel(project, owner, held.row)
    assert await project.settle(end, held, code="provider_busy", delay_s=0) == ("applied", None)
    assert await project.balance(owner) == 10


async def test_a_table_without_a_price_moves_no_money(project: Project, owner: UUID) -> None:
    await costs(project, 0, "none")
    for end, fields in (
        ("complete_sessions", {"refund": 5}),
        ("fail_sessions", {"code": "x"}),
        ("cancel_sessions", {"refund": 5}),
    ):
        held = await project.held(owner=owner)
        assert await project.settle(end, held, **fields) == ("applied", None)
    assert await reasons(project, owner) == []


async def test_a_partial_refund_waits_for_the_account_and_takes_no_other(
    project: Project, owner: UUID, another: Opener
) -> None:
    await costs(project, 4)
    other = UUID(int=1)
    worker, settler, watcher = await project.worker(), await another(), await another()
    held = [await project.held(worker, who) for who in (owner, other)]
    await project.connection.execute("begin")
    await project.connection.execute("select from listener.accounts where owner = $1 for update", owner)
    async with asyncio.TaskGroup() as group:
        group.create_task(settler.outcomes("complete_sessions", worker, held[0].item(refund=1), held[1].item(refund=0)))
        await until_blocked(watcher.connection, settler.connection)
        free = await watcher.value("select owner from listener.accounts where owner = $1 for update nowait", other)
        assert free == other
        await project.connection.execute("commit")
    assert await project.balance(owner) == 7

"""How many sessions of an owner or a kind may run at once: who must wait is passed over, others go on in fair order."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID, uuid4

import pytest

from tests.sql.conftest import Opener
from tests.sql.project import SECOND_TABLE, Project, until_blocked


async def limit_owners(project: Project, at_once: int | None, plan: str = "free") -> None:
    await project.connection.execute("update listener.plans set running_at_once = $1 where plan = $2", at_once, plan)


async def limit_kind(project: Project, at_once: int | None, kind: str = "headshot") -> None:
    await project.connection.execute("update listener.kinds set running_at_once = $1 where kind = $2", at_once, kind)


async def running(project: Project) -> dict[UUID, int]:
    found = await project.rows("select owner, count(*) from listener.sessions where status = 'processing' group by 1")
    return {row["owner"]: row["count"] for row in found}


async def test_an_owner_has_no_more_running_than_the_plan_allows(project: Project, owner: UUID) -> None:
    await limit_owners(project, 2)
    await project.insert(owner, 5)
    worker = await project.worker()
    first = await project.claim(worker, 4)
    assert len(first) == 2
    assert await project.claim(worker, 4) == []
    item = {"session": str(first[0]["session"]), "attempt": 1}
    await project.outcomes("complete_sessions", worker, item)
    assert len(await project.claim(worker, 4)) == 1


async def test_an_owner_at_the_limit_holds_nobody_up(project: Project, owner: UUID) -> None:
    await limit_owners(project, 1)
    others = [uuid4() for _ in range(3)]
    await project.insert(owner, 6)
    for other in others:
        await project.insert(other, 2)
    claimed = [row["owner"] for row in await project.claim(await project.worker(), 4)]
    assert claimed == [owner, *others], "in one call, in fair order, although one owner's rows fill its first look"


async def test_the_same_claim_again_is_not_a_second_one(project: Project, owner: UUID) -> None:
    await limit_owners(project, 2)
    await project.insert(owner, 4)
    worker, claim = await project.worker(), uuid4()
    assert await project.claim(worker, 4, claim) == await project.claim(worker, 4, claim)
    assert await running(project) == {owner: 2}


async def test_plans_differ(project: Project, owner: UUID) -> None:
    await limit_owners(project, 1)
    await limit_owners(project, 3, "paid")
    paying = uuid4()
    await project.grant(paying, 9)
    await project.connection.execute("update listener.accounts set plan = 'paid' where owner = $1", paying)
    await project.insert(owner, 5)
    await project.insert(paying, 5)
    await project.claim(await project.worker(), 10)
    assert await running(project) == {owner: 1, paying: 3}


async def test_a_kind_has_no_more_running_than_it_may_over_all_workers(project: Project) -> None:
    await limit_kind(project, 3)
    for _ in range(5):
        await project.insert(uuid4())
    assert len(await project.claim(await project.worker(), 2)) == 2
    assert len(await project.claim(await project.worker(), 2)) == 1
    assert await project.claim(await project.worker(), 2) == []


async def test_a_kind_without_room_leaves_the_worker_to_the_others(project: Project, owner: UUID) -> None:
    await project.connection.execute(SECOND_TABLE)
    await project.grant(owner, 20)
    await limit_kind(project, 0, "portrait")
    await project.insert(owner, 3)
    await project.connection.execute(
        "insert into public.portrait_sessions (user_id, prompt) select $1, 'p' from generate_series(1, 3)", owner
    )
    worker = await project.worker(kinds=("headshot", "portrait"))
    claimed = await project.claim(worker, 4, None, "portrait", "headshot")
    assert [row["kind"] for row in claimed] == ["headshot"] * 3
    await limit_kind(project, None, "portrait")
    assert len(await project.claim(worker, 4, None, "portrait", "headshot")) == 3


async def test_an_owners_limit_spans_kinds(project: Project, owner: UUID) -> None:
    await project.connection.execute(SECOND_TABLE)
    await limit_owners(project, 3)
    await project.insert(owner, 4)
    await project.connection.execute(
        "insert into public.portrait_sessions (user_id, prompt) select $1, 'p' from generate_series(1, 4)", owner
    )
    worker = await project.worker(kinds=("headshot", "portrait"))
    claimed = await project.claim(worker, 8, None, "headshot", "portrait")
    assert [row["kind"] for row in claimed] == ["headshot", "portrait", "headshot"]


async def test_parallel_claims_cannot_pass_the_limit_together(project: Project, owner: UUID, another: Opener) -> None:
    await limit_owners(project, 3)
    await project.insert(owner, 10)
    projects = [await another() for _ in range(6)]

    async def take(opened: Project) -> int:
        return len(await opened.claim(await opened.worker(), 2))

    assert sum(await asyncio.gather(*map(take, projects))) == 3
    assert await running(project) == {owner: 3}


async def test_a_claim_counts_what_another_is_about_to_start(project: Project, owner: UUID, another: Opener) -> None:
    await limit_owners(project, 1)
    await project.insert(owner, 3)
    worker, claimer, watcher = await project.worker(), await another(), await another()
    transaction = project.connection.transaction()
    await transaction.start()
    assert len(await project.claim(worker, 1)) == 1
    async with asyncio.TaskGroup() as group:
        second = group.create_task(claimer.claim(worker, 1))
        await until_blocked(watcher.connection, claimer.connection)
        await transaction.commit()
    assert second.result() == []


async def test_without_a_limit_claims_do_not_wait_for_each_other(
    project: Project, owner: UUID, another: Opener
) -> None:
    await project.insert(owner, 2)
    other = await another()
    await other.connection.execute("begin")
    await other.connection.execute("select listener.due_within_limits(array['headshot'], 1)")
    await project.connection.execute("set lock_timeout = '2s'")
    assert len(await project.claim(await project.worker(), 1)) == 1
    await other.connection.execute("rollback")


@pytest.mark.parametrize("count", [1, 7])
async def test_with_wide_limits_the_order_is_that_of_due_sessions(project: Project, count: int) -> None:
    for _ in range(4):
        await project.insert(uuid4(), 4)
    plain = await project.rows("select session as due from unnest(listener.due_sessions(array['headshot'], $1))", count)
    await limit_owners(project, 100)
    await limit_kind(project, 100)
    limited = await project.value("select listener.due_within_limits(array['headshot'], $1)", count)
    assert limited == [row["due"] for row in plain]


async def test_a_claim_within_limits_does_not_read_the_backlog(project: Project) -> None:
    await project.connection.execute("update listener.session_tables set credits = 0")
    await project.connection.execute(
        "insert into public.headshot_sessions (user_id, prompt) "
        "select ('00000000-0000-0000-0000-' || lpad((n % 100)::text, 12, '0'))::uuid, 'p' "
        "from generate_series(1, 20000) as n"
    )
    await project.connection.execute("analyze listener.sessions; analyze listener.accounts")
    await limit_owners(project, 3)
    for _ in range(8):  # beyond the calls after which PostgreSQL settles for a plan
        assert len(await project.value("select listener.due_within_limits(array['headshot'], 10)")) == 10
    explained = await project.value(
        "explain (analyze, buffers, format json) select listener.due_within_limits(array['headshot'], 10)"
    )
    plan = json.loads(explained)[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1000

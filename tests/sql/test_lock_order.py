"""Everything at once on the same rows: no deadlock, no lost credit, every session where it belongs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Project, until_blocked

ROUNDS = 40
OWNERS = [UUID(int=n) for n in range(1, 4)]
Act = Callable[[Project, random.Random], Awaitable[object]]


async def insert_for_all(project: Project, chance: random.Random) -> None:
    owners = chance.sample(OWNERS * 2, 4)
    async with project.acting("service_role") as connection:
        await connection.execute(
            "insert into public.headshot_sessions (user_id, prompt) select owner, 'p' from unnest($1::uuid[]) as owner",
            owners,
        )


async def work(project: Project, chance: random.Random) -> None:
    worker = await project.worker(lease_s=2)
    claimed = await project.claim(worker, 4)
    for row in claimed:
        function = chance.choice(["complete_sessions", "fail_sessions", "retry_sessions", "release_sessions"])
        item = {"session": str(row["session"]), "attempt": row["attempt"], "code": "x", "delay_s": 0}
        await project.outcomes("report_progress", worker, {**item, "done": 1, "total": 2})
        await project.outcomes(function, worker, item)


async def cancel_some(project: Project, chance: random.Random) -> None:
    owner = chance.choice(OWNERS)
    rows = await project.rows("select id from public.headshot_sessions where user_id = $1 and status = 'queued'", owner)
    for row in chance.sample(rows, min(2, len(rows))):
        try:
            async with project.acting("authenticated", owner) as connection:
                await connection.execute("select public.cancel_session($1)", row["id"])
        except asyncpg.PostgresError as error:
            if error.sqlstate not in ("SL002", "SL003"):
                raise


async def delete_some(project: Project, chance: random.Random) -> None:
    async with project.acting("service_role") as connection:
        await connection.execute(
            "delete from public.headshot_sessions where id in "
            "(select id from public.headshot_sessions order by md5(id::text || $1) limit 3)",
            str(chance.random()),
        )


async def sweep(project: Project, _: random.Random) -> None:
    await project.answer("sweep_sessions", p_limit=5)


LIMITS = """
update listener.plans
set inserts_per_minute = 100000, inserts_per_day = 100000, running_at_once = 3, welcomes_per_hour = 100;
update listener.kinds set running_at_once = 6, requests_per_minute = 10, cancel_refund = 'none';
"""


@pytest.mark.parametrize(("seed", "limits"), [(1, "select"), (2, "select"), (3, LIMITS)], ids=["1", "2", "limits"])
async def test_everything_at_once_neither_deadlocks_nor_loses_a_credit(
    project: Project, another: Opener, seed: int, limits: str
) -> None:
    await project.connection.execute(limits)
    for owner in OWNERS:
        await project.grant(owner, 10_000)

    async def repeat(act: Act, number: int) -> None:
        opened, chance = await another(), random.Random(f"{seed}.{number}")
        await opened.connection.execute("set deadlock_timeout = '50ms'; set lock_timeout = '20s'")
        for _ in range(ROUNDS):
            await act(opened, chance)

    acts = (insert_for_all, insert_for_all, work, work, work, cancel_some, delete_some, sweep)
    async with asyncio.TaskGroup() as group:
        for number, act in enumerate(acts):
            group.create_task(repeat(act, number))
    assert await project.value("select count(*) from listener.sessions") == 2 * ROUNDS * 4
    assert await project.value("select bool_and(broken_at is null) from listener.session_tables")


@pytest.mark.parametrize("function", ["complete_sessions", "fail_sessions", "report_progress"])
async def test_a_settlement_waits_for_the_row_before_it_holds_the_session(
    project: Project, another: Opener, function: str
) -> None:
    held = await project.held()
    settler = await another()
    await project.connection.execute("begin")
    await project.connection.execute("select from public.headshot_sessions where id = $1 for update", held.row)
    async with asyncio.TaskGroup() as group:
        settled = group.create_task(settler.settle(function, held, code="x", result={}))
        watcher = await another()
        await until_blocked(watcher.connection, settler.connection)
        free = await watcher.value(
            "select id from listener.sessions where id = $1 for no key update nowait", held.session
        )
        assert free == held.session
        await project.connection.execute("commit")
    assert settled.result() == ("applied", None)


# A table of a few rows would be read whole, in the order in which they lie.
AS_A_LARGE_TABLE = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off"


@pytest.mark.parametrize("function", ["complete_sessions", "fail_sessions"])
async def test_a_settlement_of_several_locks_their_rows_in_the_order_of_ids(
    project: Project, another: Opener, function: str
) -> None:
    worker, settler, watcher = await project.worker(), await another(), await another()
    await settler.connection.execute(AS_A_LARGE_TABLE)
    low, high = sorted([await project.held(worker) for _ in range(2)], key=lambda held: held.row)
    await project.connection.execute("begin")
    await project.connection.execute("select from public.headshot_sessions where id = $1 for update", low.row)
    async with asyncio.TaskGroup() as group:
        settled = group.create_task(settler.outcomes(function, worker, high.item(code="x"), low.item(code="x")))
        await until_blocked(watcher.connection, settler.connection)
        await project.connection.execute(
            "select from public.headshot_sessions where id = $1 for update nowait", high.row
        )
        await project.connection.execute("commit")
    assert settled.result() == [("applied", None)] * 2


@pytest.mark.parametrize("victim", ["the settlement", "the delete"])
async def test_a_delete_in_another_order_stops_one_of_both_and_its_repetition_loses_nothing(
    project: Project, another: Opener, owner: UUID, victim: str
) -> None:
    worker, settler, deleter = await project.worker(), await another(), await another()
    low, high = sorted([await project.held(worker, owner) for _ in range(2)], key=lambda held: held.row)
    for side, name in ((settler, "the settlement"), (deleter, "the delete")):
        patience = "10ms" if name == victim else "1min"
        await side.connection.execute(f"{AS_A_LARGE_TABLE}; set deadlock_timeout = '{patience}'")

    async def settle() -> list[tuple[str, str | None]]:
        return await settler.outcomes("complete_sessions", worker, low.item(), high.item())

    async def delete() -> None:
        async with deleter.acting("service_role") as connection:
            for held in (high, low):
                await connection.execute("delete from public.headshot_sessions where id = $1", held.row)
                if held is high and not settling:
                    settling.append(asyncio.ensure_future(settle()))
                    await until_blocked(project.connection, settler.connection)

    settling: list[asyncio.Future[list[tuple[str, str | None]]]] = []
    deleted = await asyncio.gather(delete(), return_exceptions=True)
    settled = await asyncio.gather(*settling, return_exceptions=True)
    assert [type(said) for said in (*settled, *deleted)].count(asyncpg.DeadlockDetectedError) == 1
    if victim == "the settlement":
        assert await settle() == [("refused", "SL001")] * 2
    else:
        assert settled == [[("applied", None)] * 2]
        await delete()
    kept = 0 if victim == "the settlement" else 2
    assert await project.balance(owner) == 10 - kept
    assert await project.value("select count(*) from public.headshot_sessions") == 0


async def test_failing_sessions_of_two_owners_locks_accounts_in_one_order(project: Project, another: Opener) -> None:
    low, high = sorted([uuid4(), uuid4()])
    worker, settler, watcher = await project.worker(), await another(), await another()
    held = [await project.held(worker, owner) for owner in (high, low)]
    await project.connection.execute("begin")
    await project.connection.execute("select from listener.accounts where owner = $1 for update", low)
    async with asyncio.TaskGroup() as group:
        group.create_task(settler.outcomes("fail_sessions", worker, *(h.item(code="x") for h in held)))
        await until_blocked(watcher.connection, settler.connection)
        assert await watcher.value(
            "select owner from listener.accounts where owner = $1 for no key update nowait", high
        )
        await project.connection.execute("commit")
    assert (await project.balance(low), await project.balance(high)) == (10, 10)


async def test_two_retries_of_one_owner_do_not_deadlock_over_the_foreign_key(project: Project, another: Opener) -> None:
    held = await project.held()
    owner = (await project.session(held))["owner"]
    reader = await another()
    await reader.connection.execute("begin")
    await reader.connection.execute("select from listener.accounts where owner = $1 for key share", owner)
    await project.connection.execute("set lock_timeout = '5s'")
    assert await project.settle("retry_sessions", held, code="provider_busy", delay_s=0) == ("applied", None)
    await project.insert(owner)
    await reader.connection.execute("rollback")

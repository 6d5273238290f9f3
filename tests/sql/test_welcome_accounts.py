"""The welcome grant: once an account, with its first paid session or grant; an hour's number is limited."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import SECOND_TABLE, Project, until_blocked

NOON = "2030-01-01 12:00:00+00"


async def limit(project: Project, an_hour: int | None) -> None:
    await project.connection.execute("update listener.plans set welcomes_per_hour = $1 where plan = 'free'", an_hour)


async def balance_as(project: Project, user: UUID) -> int:
    async with project.acting("authenticated", user) as connection:
        return int(await connection.fetchval("select public.credit_balance()"))


async def refused(project: Project, owner: UUID) -> str:
    with pytest.raises(asyncpg.PostgresError) as error:
        await project.insert(owner)
    return str(error.value.sqlstate)


async def test_beyond_the_hours_limit_newcomers_are_not_welcomed(project: Project, owner: UUID) -> None:
    await limit(project, 2)
    await project.set_clock(NOON)
    for _ in range(2):
        await project.insert(uuid4())
    assert await balance_as(project, owner) == 0
    assert await refused(project, owner) == "PT402"
    assert await project.value("select count(*) from listener.accounts") == 2


async def test_who_came_too_late_is_welcomed_an_hour_later(project: Project, owner: UUID) -> None:
    await limit(project, 1)
    await project.set_clock(NOON)
    await project.insert(uuid4())
    await project.grant(owner, 3)
    assert await project.balance(owner) == 3
    await project.set_clock("2030-01-01 13:00:00+00")
    assert await balance_as(project, owner) == 13
    await project.insert(owner)
    assert (await project.balance(owner), await project.entries(owner)) == (12, ["grant", "grant", "charge"])


async def test_a_bulk_insert_welcomes_only_as_many(project: Project) -> None:
    await limit(project, 2)
    owners = sorted(uuid4() for _ in range(3))
    async with project.acting("service_role") as connection:
        with pytest.raises(asyncpg.PostgresError, match="credits_insufficient"):
            await connection.execute(
                "insert into public.headshot_sessions (user_id, prompt) select o, 'p' from unnest($1::uuid[]) as o",
                owners,
            )


async def test_parallel_newcomers_cannot_pass_the_limit_together(project: Project, another: Opener) -> None:
    await limit(project, 3)
    projects = [await another() for _ in range(8)]
    outcomes = await asyncio.gather(*(opened.insert(uuid4()) for opened in projects), return_exceptions=True)
    codes = [outcome.sqlstate for outcome in outcomes if isinstance(outcome, asyncpg.PostgresError)]
    assert codes == ["PT402"] * 5
    assert await project.value("select count(*) from listener.ledger where reason = 'welcome'") == 3


async def test_the_count_waits_for_a_welcome_that_has_not_committed(
    project: Project, owner: UUID, another: Opener
) -> None:
    await limit(project, 1)
    inserter, watcher = await another(), await another()
    transaction = project.connection.transaction()
    await transaction.start()
    await project.insert(uuid4())
    async with asyncio.TaskGroup() as group:
        code = group.create_task(refused(inserter, owner))
        await until_blocked(watcher.connection, inserter.connection)
        await transaction.commit()
    assert code.result() == "PT402"


async def test_without_a_limit_newcomers_do_not_wait_for_each_other(project: Project, another: Opener) -> None:
    other = await another()
    transaction = other.connection.transaction()
    await transaction.start()
    await other.insert(uuid4())
    await project.connection.execute("set lock_timeout = '2s'")
    await project.insert(uuid4())
    await transaction.commit()


async def test_a_table_without_a_price_welcomes_nobody_and_the_first_with_one_does(
    project: Project, owner: UUID
) -> None:
    await project.connection.execute(SECOND_TABLE)
    await project.connection.execute(
        "update listener.session_tables set credits = 0 where relation = 'public.portrait_sessions'::regclass"
    )
    await project.connection.execute("insert into public.portrait_sessions (user_id, prompt) values ($1, 'p')", owner)
    assert (await project.balance(owner), await project.entries(owner)) == (0, [])
    assert await balance_as(project, owner) == 10
    await project.insert(owner)
    assert (await project.balance(owner), await project.entries(owner)) == (9, ["grant", "charge"])


async def test_a_plan_without_a_welcome_gives_none(project: Project, owner: UUID) -> None:
    await project.answer("set_plan", p_owner=owner, p_plan="paid")
    assert await balance_as(project, owner) == 0
    assert await refused(project, owner) == "PT402"

"""How often an owner may insert: counted over a sliding minute and day, under the account's lock, refused with 429."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Project, until_blocked


async def limit(project: Project, minute: int | None, day: int | None = None) -> None:
    await project.connection.execute(
        "update listener.plans set inserts_per_minute = $1, inserts_per_day = $2 where plan = 'free'", minute, day
    )


async def refusal(project: Project, owner: UUID, count: int = 1) -> int:
    """Expect a refusal; answers its Retry-After."""
    with pytest.raises(asyncpg.PostgresError) as refused:
        await project.insert(owner, count)
    assert refused.value.sqlstate == "PGRST"
    body, answer = json.loads(refused.value.message or ""), json.loads(refused.value.detail or "")
    assert body == {
        "code": "PT429",
        "message": "rate_limited",
        "details": "The plan allows no more sessions for now.",
        "hint": None,
    }
    assert (answer["status"], answer["status_text"], list(answer["headers"])) == (
        429,
        "Too Many Requests",
        ["Retry-After"],
    )
    return int(answer["headers"]["Retry-After"])


async def test_the_window_slides_and_the_refusal_says_when_there_is_room(project: Project, owner: UUID) -> None:
    await limit(project, 3)
    for second in (0, 10, 20):
        await project.set_clock(f"2030-01-01 00:00:{second:02}+00")
        await project.insert(owner)
    await project.set_clock("2030-01-01 00:00:30+00")
    assert await refusal(project, owner) == 30
    assert await refusal(project, owner, 2) == 40
    await project.set_clock("2030-01-01 00:00:59.5+00")
    assert await refusal(project, owner) == 1
    await project.set_clock("2030-01-01 00:01:00+00")
    await project.insert(owner)
    assert await refusal(project, owner) == 10


async def test_a_days_limit_holds_beside_the_minutes(project: Project, owner: UUID) -> None:
    await limit(project, 2, 3)
    await project.set_clock("2030-01-01 00:00:00+00")
    await project.insert(owner, 2)
    assert await refusal(project, owner) == 60
    await project.set_clock("2030-01-01 06:00:00+00")
    await project.insert(owner)
    assert await refusal(project, owner) == 18 * 3600


async def test_more_at_once_than_the_limit_is_refused_whole(project: Project, owner: UUID) -> None:
    await limit(project, 4)
    assert await refusal(project, owner, 5) == 60
    assert await project.value("select count(*) from public.headshot_sessions") == 0
    assert await project.value("select count(*) from listener.ledger") == 0
    await project.insert(owner, 4)


async def test_what_a_refused_insert_would_have_cost_stays(project: Project, owner: UUID) -> None:
    await limit(project, 2)
    await project.insert(owner, 2)
    await refusal(project, owner)
    assert await project.balance(owner) == 8


async def test_one_owners_limit_is_not_anothers(project: Project, owner: UUID) -> None:
    await limit(project, 1)
    other = uuid4()
    await project.insert(owner)
    await project.insert(other)
    await refusal(project, other)
    paying = uuid4()
    await project.grant(paying, 5)
    await project.connection.execute("update listener.accounts set plan = 'paid' where owner = $1", paying)
    await project.insert(paying, 5)


async def test_cancelled_and_deleted_sessions_count_as_well(project: Project, owner: UUID) -> None:
    await limit(project, 2)
    rows = await project.insert(owner, 2)
    async with project.acting("authenticated", owner) as connection:
        await connection.execute("select public.cancel_session($1)", rows[0])
    async with project.acting("service_role") as connection:
        await connection.execute("delete from public.headshot_sessions where id = $1", rows[1])
    await refusal(project, owner)


async def test_a_bulk_insert_for_many_owners_is_held_to_each_ones_limit(project: Project, owner: UUID) -> None:
    await limit(project, 2)
    bulk = "insert into public.headshot_sessions (user_id, prompt) select o, 'p' from unnest($1::uuid[]) as o"
    async with project.acting("service_role") as connection:
        await connection.execute(bulk, [owner, uuid4(), owner, uuid4()])
    with pytest.raises(asyncpg.PostgresError) as refused:
        async with project.acting("service_role") as connection:
            await connection.execute(bulk, [uuid4(), owner])
    assert refused.value.sqlstate == "PGRST"


async def test_parallel_inserts_cannot_pass_the_limit_together(project: Project, owner: UUID, another: Opener) -> None:
    await limit(project, 3)
    projects = [await another() for _ in range(8)]
    outcomes = await asyncio.gather(*(opened.insert(owner) for opened in projects), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, asyncpg.PostgresError)]
    assert (len(refused), {error.sqlstate for error in refused}) == (5, {"PGRST"})
    assert await project.value("select count(*) from listener.sessions") == 3


async def test_the_count_waits_for_an_insert_that_has_not_committed(
    project: Project, owner: UUID, another: Opener
) -> None:
    await limit(project, 1)
    await project.grant(owner, 1)
    inserter, watcher = await another(), await another()
    transaction = project.connection.transaction()
    await transaction.start()
    await project.insert(owner)
    async with asyncio.TaskGroup() as group:
        refused = group.create_task(refusal(inserter, owner))
        await until_blocked(watcher.connection, inserter.connection)
        await transaction.commit()
    assert refused.result() == 60


async def test_counting_reads_no_more_than_the_limit_from_one_index(project: Project, owner: UUID) -> None:
    await project.grant(owner, 20_000)
    await project.connection.execute("update listener.plans set inserts_per_minute = 50 where plan = 'paid'")
    await project.insert(owner, 20_000)
    await project.connection.execute("analyze listener.sessions")
    plan = await project.connection.fetch(
        "explain (analyze) select session.created_at from listener.sessions as session where session.owner = $1 "
        "and session.created_at > now() - interval '1 day' order by session.created_at desc offset 49 limit 1",
        owner,
    )
    text = "\n".join(line[0] for line in plan)
    assert "sessions_by_owner" in text
    assert "rows=50" in text


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_nobody_calls_it_but_the_insert(project: Project, owner: UUID, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, owner) as connection:
            await connection.execute("select listener.check_rates(array[$1::uuid])", owner)

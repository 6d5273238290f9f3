"""What an insert does: one session, one charge, in one transaction; a user's own state does not count."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.adopted import PLAIN, watch
from tests.sql.conftest import Opener
from tests.sql.project import SECOND_TABLE, Project, until_blocked

STATE = ("status", "progress", "message", "error_code", "error_message", "error_details", "result", "version")


async def test_a_row_becomes_a_session_and_is_charged(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner, prompt="a fine face", width=512)
    session = await project.session(row)
    assert (session["status"], session["attempt"], session["cost"]) == ("queued", 0, 1)
    assert (session["kind"], session["owner"]) == ("headshot", owner)
    assert await project.balance(owner) == 9
    assert await project.entries(owner) == ["grant", "charge"]


async def test_the_parameters_are_the_row_without_its_state(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner, prompt="p", width=512)
    params = (await project.session(row))["params"]
    assert (params["prompt"], params["width"], params["id"]) == ("p", 512, str(row))
    assert not set(params) & {*STATE, "started_at", "finished_at", "updated_at"}


async def test_an_owner_without_credits_cannot_insert(project: Project, owner: UUID) -> None:
    await project.insert(owner, 10)
    with pytest.raises(asyncpg.PostgresError, match="credits_insufficient") as refused:
        await project.insert(owner)
    assert (refused.value.sqlstate, refused.value.message) == ("PT402", "credits_insufficient")
    assert await project.value("select count(*) from public.headshot_sessions") == 10
    assert await project.balance(owner) == 0


async def test_a_bulk_insert_that_cannot_be_paid_charges_nothing(project: Project, owner: UUID) -> None:
    await project.insert(owner)
    with pytest.raises(asyncpg.PostgresError, match="credits_insufficient"):
        await project.insert(owner, 10)
    assert await project.balance(owner) == 9
    assert await project.value("select count(*) from listener.sessions") == 1


async def test_users_cannot_name_state_columns(project: Project, owner: UUID) -> None:
    for column, value in {"status": "completed", "version": 7, "message": "mine", "created_at": None}.items():
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await project.insert(owner, **{column: value})


async def test_state_that_a_user_could_write_is_reset(project: Project, owner: UUID) -> None:
    await project.connection.execute("grant insert on public.headshot_sessions to authenticated")
    (row,) = await project.insert(
        owner, status="completed", result={"artifacts": [{"url": "https://mine"}]}, version=99, message="x", progress=80
    )
    shown = await project.row(row)
    assert [shown[column] for column in STATE] == ["queued", 0, None, None, None, None, None, 0]
    assert (await project.session(row))["status"] == "queued"


async def test_finished_rows_can_be_imported_by_service_role_without_a_charge(project: Project, owner: UUID) -> None:
    async with project.acting("service_role") as connection:
        await connection.execute(
            "insert into public.headshot_sessions (user_id, prompt, status, finished_at) "
            "select $1, 'old', 'completed', now() from generate_series(1, 50)",
            owner,
        )
    assert await project.value("select count(*) from listener.sessions") == 0
    assert await project.value("select count(*) from listener.ledger") == 0
    assert await project.value("select count(*) from public.headshot_sessions where status = 'completed'") == 50


async def test_nothing_inserted_on_conflict_charges_nothing(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner)
    async with project.acting("authenticated", owner) as connection:
        await connection.execute(
            "insert into public.headshot_sessions (id, prompt) values ($1, 'again') on conflict do nothing", row
        )
    assert await project.balance(owner) == 9


async def test_the_same_id_after_a_delete_is_a_conflict(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner)
    async with project.acting("service_role") as connection:
        await connection.execute("delete from public.headshot_sessions where id = $1", row)
    with pytest.raises(asyncpg.UniqueViolationError):
        await project.insert(owner, id=row)
    assert await project.balance(owner) == 10


async def test_ten_thousand_rows_of_one_owner_arrive_within_a_users_time_limit(project: Project, owner: UUID) -> None:
    await project.grant(owner, 10_000)
    await project.connection.execute("set statement_timeout = '8s'")
    await project.insert(owner, 10_000)
    assert await project.value("select count(*) from listener.sessions") == 10_000
    assert await project.balance(owner) == 10


async def test_the_requests_id_and_trace_are_kept_when_they_are_sane(project: Project, owner: UUID) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    insert = "insert into public.headshot_sessions (prompt) values ('p') returning id"
    async with project.acting("authenticated", owner, **{"x-request-id": "r-1", "traceparent": trace}) as connection:
        sane = await connection.fetchval(insert)
    async with project.acting("authenticated", owner, **{"x-request-id": "a\r\nb"}) as connection:
        odd = await connection.fetchval(insert)
    assert ((await project.session(sane))["request_id"], (await project.session(sane))["traceparent"]) == ("r-1", trace)
    assert UUID((await project.session(odd))["request_id"])


async def test_two_bulk_inserts_of_the_same_owners_wait_in_one_order(project: Project, another: Opener) -> None:
    first, second = await another(), await another()
    owners = sorted([uuid4(), uuid4()])
    for owner in owners:
        await project.grant(owner, 1)
    statement = (
        "insert into public.headshot_sessions (user_id, prompt) select owner, 'p' "
        "from unnest($1::uuid[]) with ordinality as given (owner, n) order by n"
    )
    await project.connection.execute("begin")
    await project.connection.execute("select from listener.accounts where owner = $1 for update", owners[0])
    async with asyncio.TaskGroup() as group:
        # Each would hold one account and wait for the other's, were the accounts locked in the order of arrival.
        group.create_task(first.connection.execute(statement, owners))
        await until_blocked(project.connection, first.connection)
        group.create_task(second.connection.execute(statement, owners[::-1]))
        await until_blocked(project.connection, second.connection)
        free = await project.value(
            "select owner from listener.accounts where owner = $1 for no key update nowait", owners[1]
        )
        assert free == owners[1], "nobody may hold the higher account while waiting for the lower"
        await project.connection.execute("commit")
    assert [await project.balance(owner) for owner in owners] == [9, 9]


async def test_parallel_inserts_cannot_spend_one_credit_twice(project: Project, owner: UUID, another: Opener) -> None:
    await project.insert(owner, 9)
    await project.connection.execute(SECOND_TABLE)
    first, second = await another(), await another()
    async with first.acting("service_role") as connection:
        await connection.execute("insert into public.portrait_sessions (user_id, prompt) values ($1, 'first')", owner)
        late = asyncio.ensure_future(second.insert(owner))
        await until_blocked(project.connection, second.connection)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await late
    assert refused.value.sqlstate == "PT402", "the balance is read only once the account is locked"
    assert await project.balance(owner) == 0


async def test_accounts_stay_locked_once_they_are_opened(project: Project, owner: UUID, another: Opener) -> None:
    await project.insert(owner)
    holder = await another()
    await holder.connection.execute("begin")
    await holder.connection.execute("select listener.open_accounts(array[$1::uuid])", owner)
    with pytest.raises(asyncpg.LockNotAvailableError):
        await project.connection.execute(
            "select from listener.accounts where owner = $1 for no key update nowait", owner
        )
    await holder.connection.execute("rollback")


async def test_truncate_is_refused(project: Project, owner: UUID) -> None:
    await project.insert(owner)
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await project.connection.execute("truncate public.headshot_sessions")


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("config", "is_taken"),
    [
        (nested(50), True),
        ('{"n": [1.7e308, -1.7e308, 0.00000000000000000000000000001]}', True),
        (nested(70), False),
        (nested(1000), False),
        ("[" * 1000 + "]" * 1000, False),
        ('{"n": 1e309}', False),
        ('{"deep": [{"n": -1' + "0" * 5000 + "}]}", False),
        ('{"s": "' + "x" * 34_000_000 + '"}', False),
    ],
    ids=["deep", "numbers", "deeper", "deepest", "lists", "infinite", "digits", "large"],
)
async def test_a_row_that_no_worker_could_read_is_refused_and_not_charged(
    project: Project, owner: UUID, config: str, is_taken: bool
) -> None:
    await project.connection.execute(PLAIN.replace("prompt text", "config jsonb"))
    await project.connection.execute("grant select, insert on public.portrait_sessions to authenticated")
    await watch(project, kind="headshot", credits=1)
    statement = "insert into public.portrait_sessions (user_id, config) values ($1, $2::text::jsonb)"
    async with project.acting("authenticated", owner) as connection:
        if is_taken:
            await connection.execute(statement, owner, config)
            return
        with pytest.raises(asyncpg.CheckViolationError, match="params_unreadable") as refused:
            await connection.execute(statement, owner, config)
    assert refused.value.hint
    assert await project.value("select count(*) from public.portrait_sessions") == 0
    assert await project.value("select count(*) from listener.ledger where entry = 'charge'") == 0

"""What an app with credits of its own is told: each refund once, with the settlement or later when that fails."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from tests.sql.adopted import PLAIN, TABLE, held, insert, shown, watch
from tests.sql.project import Project, Row

WALLET = """
create table public.wallet (row_id uuid, amount integer);
create function public.give_back(p_row uuid, p_amount integer) returns void language plpgsql security definer
set search_path = '' as $$ begin {body} insert into public.wallet values (p_row, p_amount); end $$;
revoke all on function public.give_back from public;
grant execute on function public.give_back to service_role;
"""
BROKEN = "if exists (select from public.outage) then raise 'the wallet is away'; end if;"


@pytest.fixture(autouse=True)
async def table(project: Project) -> None:
    """A watched table of an app that takes 3 credits of its own for a row."""
    await project.connection.execute(PLAIN + WALLET.format(body=BROKEN) + "create table public.outage ();")
    await project.connection.execute("alter table public.outage add since timestamptz")
    await watch(project, credits=3, on_refund="public.give_back(uuid,int)", max_attempts=1)


async def wallet(project: Project) -> list[tuple[UUID, int]]:
    return [(row["row_id"], row["amount"]) for row in await project.rows("select * from public.wallet")]


async def owed(project: Project) -> list[Row]:
    return await project.rows("select calls, amount, error, paid_at is not null as is_paid from listener.app_refunds")


async def outage(project: Project) -> None:
    await project.connection.execute("insert into public.outage default values")


async def test_our_ledger_takes_nothing_for_what_the_app_took(project: Project, owner: UUID) -> None:
    for _ in range(9):
        await insert(project, owner)
    assert await project.entries(owner) == []
    attempt = await held(project)
    await project.settle("complete_sessions", attempt, result={})
    assert await wallet(project) == []


async def test_a_failure_is_given_back_by_the_app_once(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    attempt = await held(project)
    assert await project.settle("fail_sessions", attempt, code="generation_failed") == ("applied", None)
    assert await project.settle("fail_sessions", attempt, code="generation_failed") == ("already", None)
    answer = await project.answer("refund_session", p_session=attempt.session)
    assert answer == {"refunded": 0, "outcome": "already"}
    assert await wallet(project) == [(attempt.row, 3)]
    assert await project.entries(owner) == []


async def test_a_delete_and_a_users_cancel_are_given_back(project: Project, owner: UUID) -> None:
    deleted, cancelled = await insert(project, owner), await insert(project, owner)
    await project.connection.execute(f"delete from {TABLE} where id = $1", deleted)
    async with project.acting("authenticated", owner) as connection:
        await connection.fetchval("select public.cancel_session($1)", cancelled)
    assert await wallet(project) == [(deleted, 3), (cancelled, 3)]


async def test_what_a_completed_pack_did_not_deliver_is_given_back(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    attempt = await held(project)
    assert await project.settle("complete_sessions", attempt, result={}, refund=2) == ("applied", None)
    assert await wallet(project) == [(attempt.row, 2)]


async def test_a_function_that_raises_loses_no_settlement_and_is_called_again(project: Project, owner: UUID) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    await insert(project, owner)
    attempt = await held(project)
    await outage(project)
    assert await project.settle("fail_sessions", attempt, code="generation_failed") == ("applied", None)
    assert (await shown(project, attempt.row))["status"] == "failed"
    assert await owed(project) == [{"calls": 1, "amount": 3, "error": "P0001 the wallet is away", "is_paid": False}]

    assert (await project.answer("sweep_sessions"))["app_refunds"] == 0
    assert (await owed(project))[0]["calls"] == 1, "not before its time"
    await project.set_clock("2030-01-01 00:00:11+00")
    assert (await project.answer("sweep_sessions"))["app_refunds"] == 0
    assert (await owed(project))[0]["calls"] == 2
    await project.connection.execute("delete from public.outage")
    await project.set_clock("2030-01-01 00:00:40+00")
    assert (await project.answer("sweep_sessions"))["app_refunds"] == 1
    assert (await project.answer("sweep_sessions"))["app_refunds"] == 0
    assert await wallet(project) == [(attempt.row, 3)]
    assert await owed(project) == [{"calls": 3, "amount": 3, "error": None, "is_paid": True}]


async def test_an_app_is_asked_for_what_it_took_and_for_nothing_of_ours(project: Project, owner: UUID) -> None:
    worker = await project.worker(kinds=["portrait", "headshot"])
    await insert(project, owner)
    theirs = await held(project, worker=worker)
    ours = await project.held(worker, owner)
    items = [attempt.item(code="generation_failed") for attempt in (theirs, ours)]
    assert await project.outcomes("fail_sessions", worker, *items) == [("applied", None)] * 2
    assert await wallet(project) == [(theirs.row, 3)]
    assert await project.entries(owner) == ["grant", "charge", "refund"]


async def test_one_refund_that_raises_does_not_stop_its_neighbour(project: Project, owner: UUID) -> None:
    rows = [await insert(project, owner) for _ in range(2)]
    await project.connection.execute(
        "create or replace function public.give_back(p_row uuid, p_amount integer) returns void language plpgsql "
        f"security definer set search_path = '' as $$ begin if p_row = '{rows[0]}' then raise 'not him'; end if; "
        "insert into public.wallet values (p_row, p_amount); end $$"
    )
    await project.connection.execute(f"delete from {TABLE}")
    assert await wallet(project) == [(rows[1], 3)]
    assert sorted(row["is_paid"] for row in await owed(project)) == [False, True]


async def test_a_function_that_never_ends_loses_no_settlement(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    attempt = await held(project)
    await project.connection.execute(
        "create or replace function public.give_back(p_row uuid, p_amount integer) returns void language sql "
        "as 'select pg_sleep(60)'; set statement_timeout = '500ms'"
    )
    assert await project.settle("fail_sessions", attempt, code="generation_failed") == ("applied", None)
    await project.connection.execute("set statement_timeout = 0")
    assert (await owed(project))[0]["error"].startswith("57014")


async def test_a_function_that_never_ends_is_waited_for_once_in_a_statement(project: Project, owner: UUID) -> None:
    for _ in range(2):
        await insert(project, owner)
    first = await held(project)
    second = await held(project, worker=first.worker)
    await project.connection.execute(
        "create or replace function public.give_back(p_row uuid, p_amount integer) returns void language sql "
        "as 'select pg_sleep(60)'; set statement_timeout = '500ms'"
    )
    items = [attempt.item(code="generation_failed") for attempt in (first, second)]
    async with asyncio.timeout(20):
        assert await project.outcomes("fail_sessions", first.worker, *items) == [("applied", None)] * 2
    await project.connection.execute("set statement_timeout = 0")
    assert sorted((row["calls"], row["is_paid"]) for row in await owed(project)) == [(0, False), (1, False)]


async def test_a_function_that_is_gone_is_named_and_stays_owed(project: Project, owner: UUID) -> None:
    await insert(project, owner)
    attempt = await held(project)
    await project.connection.execute("drop function public.give_back")
    assert await project.settle("fail_sessions", attempt, code="generation_failed") == ("applied", None)
    assert "there is no function public.give_back(uuid,int)" in (await owed(project))[0]["error"]


async def test_a_refund_that_was_owed_is_paid_after_the_table_has_left(project: Project, owner: UUID) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    row = await insert(project, owner)
    await outage(project)
    answer = await project.value("select listener.unwatch($1::text::regclass, cancel_open => true)", TABLE)
    assert answer == {"cancelled": 1, "refunded": 3}
    await project.connection.execute("delete from public.outage")
    await project.set_clock("2030-01-01 00:01:00+00")
    assert (await project.answer("sweep_sessions"))["app_refunds"] == 1
    assert await wallet(project) == [(row, 3)]


async def test_a_policy_without_refunds_calls_nobody(project: Project, owner: UUID) -> None:
    await project.connection.execute("update listener.kinds set cancel_refund = 'none' where kind = 'portrait'")
    row = await insert(project, owner)
    await held(project)
    await project.connection.execute(f"delete from {TABLE} where id = $1", row)
    assert await wallet(project) == []

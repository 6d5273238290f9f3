"""What an operator reads of an account: its newest entries, each with the balance that it left behind."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import Project, Row


async def ledger(project: Project, owner: UUID, limit: int | None = None) -> list[Row]:
    return await project.rpc("account_ledger", p_owner=owner, **({} if limit is None else {"p_limit": limit}))


async def test_each_entry_carries_the_balance_after_it_newest_first(project: Project, owner: UUID) -> None:
    (row_id,) = await project.insert(owner)
    session = (await project.session(row_id))["id"]
    await project.answer("grant_credits", p_owner=owner, p_amount=5, p_key="order-1", p_reason="bought")
    seen = [
        (entry["entry"], entry["amount"], entry["balance"], entry["session"]) for entry in await ledger(project, owner)
    ]
    assert seen == [("grant", 5, 14, None), ("charge", -1, 9, session), ("grant", 10, 10, None)]
    (newest, *_) = await ledger(project, owner)
    assert (newest["key"], newest["reason"]) == ("grant:order-1", "bought")
    assert newest["at"] is not None


async def test_a_limit_leaves_the_balances_true(project: Project, owner: UUID) -> None:
    for number in range(5):
        await project.answer("grant_credits", p_owner=owner, p_amount=1, p_key=f"{owner}-{number}", p_reason="gift")
    assert [entry["balance"] for entry in await ledger(project, owner, 2)] == [15, 14]
    assert len(await ledger(project, owner, 0)) == 1
    assert len(await ledger(project, owner, 10**6)) == 6


async def test_the_last_balance_is_the_accounts_also_when_the_clock_went_back(project: Project, owner: UUID) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    await project.insert(owner, 2)
    await project.set_clock("2029-01-01 00:00:00+00")
    await project.answer("grant_credits", p_owner=owner, p_amount=7, p_key=str(owner), p_reason="gift")
    entries = await ledger(project, owner)
    assert entries[0]["balance"] == await project.balance(owner) == 15
    assert entries[-1]["balance"] == entries[-1]["amount"]


async def test_nothing_is_known_of_a_stranger_and_nothing_is_made_by_asking(project: Project, owner: UUID) -> None:
    await project.insert(uuid4())
    assert await ledger(project, owner) == []
    assert await project.rows("select owner from listener.accounts where owner = $1", owner) == []


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_read_ledgers(project: Project, owner: UUID, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, owner) as connection:
            await connection.fetch("select * from public.account_ledger($1, 10)", owner)

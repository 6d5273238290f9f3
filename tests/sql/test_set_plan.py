"""What putting an account on a plan does: once, for accounts old and new, by service_role alone."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from tests.sql.project import Project


async def test_a_plan_is_set_for_an_account_that_is_not_there_yet(project: Project, owner: UUID) -> None:
    answers = [await project.answer("set_plan", p_owner=owner, p_plan="paid") for _ in range(2)]
    assert answers == [{"plan": "paid", "outcome": "applied"}, {"plan": "paid", "outcome": "already"}]
    assert await project.value("select plan from listener.accounts where owner = $1", owner) == "paid"
    assert await project.entries(owner) == []


async def test_what_waits_keeps_its_place_and_what_comes_goes_first(project: Project, owner: UUID) -> None:
    waiting, other = await project.insert(owner), UUID(int=1)
    await project.insert(other, 2)
    await project.answer("set_plan", p_owner=owner, p_plan="paid")
    coming = await project.insert(owner)
    claimed = [row["row_id"] for row in await project.claim(await project.worker(), 2)]
    assert claimed == coming + waiting


async def test_a_plan_that_does_not_exist_is_refused(project: Project, owner: UUID) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="no such plan"):
        await project.answer("set_plan", p_owner=owner, p_plan="platinum")


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_nobody_else_sets_plans(project: Project, owner: UUID, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, owner) as connection:
            await connection.execute("select public.set_plan($1, 'paid')", owner)

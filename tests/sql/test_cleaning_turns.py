"""One worker cleans at a time, and the walk goes on where the last one left it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from tests.sql.project import Project

START = {"bucket": "", "path": ""}
FAR = {"bucket": "headshots", "path": "m"}


async def take(project: Project, holder: UUID, *, hold_s: int = 300, at_once: bool = False) -> Any:
    return await project.answer("take_cleaning", p_holder=holder, p_hold_s=hold_s, p_at_once=at_once)


async def leave(project: Project, holder: UUID, place: dict[str, str], rest_s: int) -> Any:
    where = {"p_bucket": place["bucket"], "p_path": place["path"]}
    return await project.answer("leave_cleaning", p_holder=holder, **where, p_rest_s=rest_s)


async def test_one_holds_the_turn_and_may_keep_it(project: Project) -> None:
    one, other = uuid4(), uuid4()
    await project.set_clock("2030-01-01 00:00:00+00")
    assert await take(project, one) == START
    assert await take(project, other) is None
    assert await take(project, other, at_once=True) is None, "in a hurry or not"
    await project.set_clock("2030-01-01 00:04:00+00")
    assert await take(project, one) == START
    await project.set_clock("2030-01-01 00:08:59+00")
    assert await take(project, other) is None, "it was prolonged"


async def test_the_next_one_goes_on_where_the_last_one_stopped_after_the_rest(project: Project) -> None:
    one, other = uuid4(), uuid4()
    await project.set_clock("2030-01-01 00:00:00+00")
    await take(project, one)
    assert await leave(project, one, FAR, 60) is True
    assert await take(project, other) is None
    assert await take(project, other, at_once=True) == FAR, "an operator does not wait"
    assert await leave(project, other, FAR, 60) is True
    await project.set_clock("2030-01-01 00:01:00+00")
    assert await take(project, one) == FAR


async def test_a_holder_that_died_loses_its_turn_and_what_it_says_later_counts_nothing(project: Project) -> None:
    dead, other = uuid4(), uuid4()
    await project.set_clock("2030-01-01 00:00:00+00")
    await take(project, dead, hold_s=300)
    await project.set_clock("2030-01-01 00:05:00+00")
    assert await take(project, other) == START
    assert await leave(project, dead, FAR, 0) is False
    assert await project.value("select (holder, bucket) = ($1, '') from listener.cleaning", other) is True

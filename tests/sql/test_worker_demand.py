"""How many sessions need a worker: never null, and no more than the limits would let run."""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.sql.project import SECOND_TABLE, Project


async def demand(project: Project) -> int:
    return int(await project.answer("worker_demand"))


async def test_an_empty_queue_needs_nobody(project: Project) -> None:
    assert await demand(project) == 0


async def test_what_an_owners_limit_withholds_needs_no_worker(project: Project, owner: UUID) -> None:
    await project.connection.execute("update listener.plans set running_at_once = 2 where plan = 'free'")
    await project.insert(owner, 6)
    await project.insert(uuid4())
    assert await demand(project) == 3
    await project.claim(await project.worker(), 1)
    assert await demand(project) == 3


async def test_what_a_kinds_limit_withholds_needs_no_worker(project: Project, owner: UUID) -> None:
    await project.connection.execute(SECOND_TABLE)
    await project.connection.execute("update listener.kinds set running_at_once = 2 where kind = 'headshot'")
    await project.grant(owner, 20)
    await project.insert(owner, 5)
    await project.connection.execute(
        "insert into public.portrait_sessions (user_id, prompt) select $1, 'p' from generate_series(1, 4)", owner
    )
    assert await demand(project) == 6
    await project.claim(await project.worker(), 2)
    assert await demand(project) == 6
    await project.connection.execute("update listener.kinds set running_at_once = 1 where kind = 'headshot'")
    assert await demand(project) == 6, "what runs already is counted"


async def test_an_owners_limit_is_counted_once_over_kinds(project: Project, owner: UUID) -> None:
    await project.connection.execute(SECOND_TABLE)
    await project.connection.execute("update listener.plans set running_at_once = 3 where plan = 'free'")
    await project.grant(owner, 20)
    await project.insert(owner, 2)
    await project.connection.execute(
        "insert into public.portrait_sessions (user_id, prompt) select $1, 'p' from generate_series(1, 4)", owner
    )
    assert await demand(project) == 3

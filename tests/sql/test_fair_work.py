"""What a session asks for counts in the fair order: a pack of ten takes as much of its owner's share as ten of one."""

from __future__ import annotations

import random
from collections import Counter
from uuid import UUID, uuid4

import pytest

from tests.sql.packs import create, order
from tests.sql.project import Project

BATCHES = """
create table public.batches (
  id uuid primary key default gen_random_uuid(), user_id uuid not null, pieces integer not null
);
alter table public.batches enable row level security;
create policy reads on public.batches for select to authenticated using ((select auth.uid()) = user_id);
create policy inserts on public.batches for insert to authenticated with check ((select auth.uid()) = user_id);
select listener.watch('public.batches', kind => 'batch');
update listener.session_tables set credits_column = 'pieces', credits = 0 where relation = 'public.batches'::regclass;
"""
MOST = 10


async def ask(project: Project, owner: UUID, pieces: list[int]) -> None:
    await project.connection.execute(
        "insert into public.batches (user_id, pieces) select $1, given from unnest($2::integer[]) as given",
        owner,
        pieces,
    )


async def served(project: Project, worker: UUID, limit: int = 1) -> list[tuple[UUID, int]]:
    """Owner and pieces of the next sessions."""
    claimed = await project.claim(worker, limit, None, "batch")
    return [(row["owner"], row["params"]["pieces"]) for row in claimed]


async def test_an_owner_of_packs_of_ten_gets_no_more_images_than_one_of_packs_of_five(
    project: Project, owner: UUID
) -> None:
    other = uuid4()
    for user, size in ((owner, 10), (other, 5)):
        await project.grant(user, 100)
        character = await create(project, user)
        for _ in range(8):
            await order(project, user, character, image_count=size)
    worker = await project.worker(kinds=("pack",))
    claimed = [(await project.claim(worker, 1, None, "pack"))[0] for _ in range(9)]
    images: Counter[UUID] = Counter()
    for row in claimed:
        images[row["owner"]] += row["params"]["image_count"]
    assert images == {owner: 30, other: 30}
    assert {row["params"]["image_count"] for row in claimed} == {5, 10}


async def test_a_large_session_of_a_newcomer_is_not_put_behind_small_ones(project: Project, owner: UUID) -> None:
    await project.connection.execute(BATCHES)
    worker, newcomer = await project.worker(kinds=("batch",)), uuid4()
    await ask(project, owner, [1] * 30)
    await served(project, worker, 5)
    await ask(project, newcomer, [MOST])
    assert newcomer in [who for who, _ in await served(project, worker, 2)]


@pytest.mark.parametrize("seed", range(6))
async def test_who_has_a_backlog_never_lags_behind_by_more_than_a_session_of_each(project: Project, seed: int) -> None:
    """The bound of start-time fair queueing: |work/weight of one - work/weight of another| <= the largest of either."""
    await project.connection.execute(BATCHES)
    chance = random.Random(seed)
    owners = [uuid4() for _ in range(chance.randint(2, 5))]
    weights = dict.fromkeys(owners, 1)
    weights[owners[0]] = chance.choice([1, 2])
    if weights[owners[0]] == 2:
        await project.connection.execute("update listener.plans set head_start = 0")
        await project.answer("set_plan", p_owner=owners[0], p_plan="paid")
    backlog = {owner: [chance.randint(1, MOST) for _ in range(40)] for owner in owners}
    for owner, pieces in backlog.items():  # in bursts and one by one, between those of others
        await ask(project, owner, pieces[:20])
    for n in range(20, 40):
        for owner, pieces in backlog.items():
            await ask(project, owner, pieces[n : n + 1])
    worker = await project.worker(kinds=("batch",))
    work: Counter[UUID] = Counter()
    left = Counter({owner: len(pieces) for owner, pieces in backlog.items()})
    while all(left.values()):
        for owner, pieces in await served(project, worker, chance.randint(1, 4)):
            work[owner] += pieces
            left[owner] -= 1
            if not all(left.values()):
                break
            shares = {one: work[one] / weights[one] for one in owners}
            largest = sorted((MOST / weights[one] for one in owners), reverse=True)
            assert max(shares.values()) - min(shares.values()) <= largest[0] + largest[1], (seed, shares)


async def test_a_session_weighs_what_its_kind_and_its_row_say(project: Project, owner: UUID) -> None:
    await project.connection.execute(BATCHES)
    await project.connection.execute("update listener.kinds set work = 2 where kind = 'batch'")
    await ask(project, owner, [3, 1])
    found = await project.rows("select work, start_tag, cost from listener.sessions order by seq")
    assert [(row["work"], row["start_tag"]) for row in found] == [(6.0, 0.0), (2.0, 6.0)]
    assert await project.value("select last_tag from listener.turns") == 8.0

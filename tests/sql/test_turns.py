"""Whose turn it is: fair between owners, kinds and plans, whatever one of them floods."""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.sql.project import SECOND_TABLE, Project


async def order(project: Project, worker: UUID, count: int) -> list[UUID]:
    return [(await project.claim(worker))[0]["owner"] for _ in range(count)]


async def test_one_owners_rows_come_in_order(project: Project, owner: UUID) -> None:
    rows = await project.insert(owner, 5)
    worker = await project.worker()
    assert [row["row_id"] for row in await project.claim(worker, 5)] == rows


async def test_a_flood_of_one_owner_does_not_delay_anothers_single_row(project: Project, owner: UUID) -> None:
    flooder = uuid4()
    await project.grant(flooder, 300)
    await project.insert(flooder, 300)
    worker = await project.worker()
    await project.claim(worker, 5)
    await project.insert(owner)
    assert owner in await order(project, worker, 7)


async def test_a_flood_of_single_inserts_is_a_flood_too(project: Project, owner: UUID) -> None:
    flooder = uuid4()
    for _ in range(10):
        await project.insert(flooder)
    for _ in range(5):
        await project.insert(owner)
    assert (await order(project, await project.worker(), 6)).count(owner) == 3


async def test_a_stream_of_newcomers_does_not_starve_a_waiting_row(project: Project, owner: UUID) -> None:
    worker = await project.worker()
    await project.insert(owner, 3)
    served = []
    for _ in range(60):
        await project.insert(uuid4())
        served += await order(project, worker, 1)
    assert served.count(owner) == 3


async def test_a_regular_customer_does_not_wait_behind_a_newcomers_flood(project: Project, owner: UUID) -> None:
    worker, newcomer = await project.worker(), uuid4()
    for _ in range(8):
        await project.insert(owner)
        await project.claim(worker)
    await project.grant(newcomer, 300)
    await project.insert(newcomer, 300)
    await project.insert(owner)
    assert owner in await order(project, worker, 12)


async def test_the_paid_plan_goes_first(project: Project, owner: UUID) -> None:
    paying = uuid4()
    await project.insert(owner, 10)
    await project.grant(paying, 2)
    await project.connection.execute("update listener.accounts set plan = 'paid' where owner = $1", paying)
    await project.insert(paying, 2)
    assert await order(project, await project.worker(), 2) == [paying, paying]


async def test_two_owners_share_evenly(project: Project, owner: UUID) -> None:
    other = uuid4()
    await project.insert(owner, 8)
    await project.insert(other, 8)
    first = await order(project, await project.worker(), 8)
    assert (first.count(owner), first.count(other)) == (4, 4)


async def test_two_kinds_share_a_worker_whatever_their_tags(project: Project, owner: UUID) -> None:
    await project.connection.execute(
        """
        insert into listener.kinds (kind, bucket) values ('portrait', 'headshots');
        update listener.virtual_times set virtual_time = 100000 where kind = 'portrait';
        create table public.portrait_sessions (like public.headshot_sessions including all);
        insert into listener.session_tables (relation, kind) values ('public.portrait_sessions', 'portrait');
        create trigger register after insert on public.portrait_sessions referencing new table as new_rows
        for each statement execute function listener.register_sessions();
        grant select, update on public.portrait_sessions to service_role;
        """
    )
    await project.grant(owner, 20)
    await project.insert(owner, 10)
    await project.connection.execute(
        "insert into public.portrait_sessions (user_id, prompt) select $1, 'p' from generate_series(1, 10)", owner
    )
    worker = await project.worker(kinds=("headshot", "portrait"))
    kinds = [row["kind"] for row in await project.claim(worker, 6, None, "headshot", "portrait")]
    assert kinds == ["headshot", "portrait"] * 3


async def test_a_worker_with_one_free_slot_takes_its_kinds_in_turn(project: Project, owner: UUID) -> None:
    await project.connection.execute(SECOND_TABLE)
    await project.grant(owner, 30)
    await project.insert(owner, 10)
    await project.connection.execute(
        "insert into public.portrait_sessions (user_id, prompt) select $1, 'p' from generate_series(1, 10)", owner
    )
    worker = await project.worker(kinds=("headshot", "portrait"))
    kinds = [
        [row["kind"] for row in await project.claim(worker, n, None, "headshot", "portrait")] for n in (1, 1, 1, 3, 1)
    ]
    h, t = "headshot", "portrait"
    assert kinds == [[h], [t], [h], [t, h, t], [h]]


async def test_a_retry_keeps_its_place(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    before = await project.session(held)
    await project.insert(owner, 3)
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=0)
    assert (await project.again(held)).attempt == 2
    after = await project.session(held)
    assert (before["fair_tag"], before["seq"]) == (after["fair_tag"], after["seq"])


async def test_virtual_time_never_goes_back(project: Project, owner: UUID) -> None:
    await project.insert(owner, 5)
    worker = await project.worker()
    times = []
    for _ in range(5):
        await project.claim(worker)
        times.append(await project.value("select virtual_time from listener.virtual_times where kind = 'headshot'"))
    assert times == sorted(set(times))


async def test_the_turns_of_ten_thousand_owners_take_no_time_that_grows_with_their_square(project: Project) -> None:
    await project.connection.execute(
        "insert into listener.accounts (owner) select gen_random_uuid() from generate_series(1, 10000);"
        "set statement_timeout = '3s'"
    )
    given = await project.value(
        "select count(*) from listener.take_turns("
        "'headshot', array(select owner from listener.accounts), array(select 1 from listener.accounts))"
    )
    assert given == 10_000

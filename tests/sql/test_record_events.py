"""What analytics is told: each thing that happens to a session, once, by the transaction that did it."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import SECOND_TABLE, Held, Project, Row

START = "2030-01-01 00:00:00+00"
PACKS = """
create table public.pack_sessions (like public.headshot_sessions including all);
alter table public.pack_sessions add character_id uuid, add image_count text;
insert into listener.session_tables (relation, kind) values ('public.pack_sessions', 'pack');
create trigger register after insert on public.pack_sessions referencing new table as new_rows
for each statement execute function listener.register_sessions();
grant select, insert, update on public.pack_sessions to service_role;
"""


async def told(project: Project, owner: UUID | None = None) -> list[tuple[str, Row]]:
    """The events in order of time, and of the session's life where times are equal."""
    found = await project.rows(
        """
        select event, properties from listener.events where $1::uuid is null or owner = $1
        order by at, array_position(array['generation_queued', 'generation_started', 'image_stored',
          'generation_completed', 'generation_failed', 'pack_completed'], event), occurrence
        """,
        owner,
    )
    return [(row["event"], row["properties"]) for row in found]


async def names(project: Project) -> list[str]:
    return [event for event, _ in await told(project)]


def artifact(held: Held, name: str = "image", size_bytes: int = 1000, content_type: str = "image/png") -> Row:
    return held.item(name=name, bucket="b", path="a/b.png", size_bytes=size_bytes, content_type=content_type)


async def pack(project: Project, owner: UUID, image_count: str | None) -> tuple[Held, UUID]:
    character = uuid4()
    await project.connection.execute(
        "insert into public.pack_sessions (user_id, prompt, character_id, image_count) values ($1, 'p', $2, $3)",
        owner,
        character,
        image_count,
    )
    worker = await project.worker(kinds=("pack",))
    (row,) = await project.claim(worker, 1, None, "pack")
    return Held(worker, row["session"], row["attempt"], row["row_id"]), character


async def test_a_completed_session_tells_four_events_in_order(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    held = await project.held(owner=owner)
    await project.set_clock("2030-01-01 00:00:02+00")
    await project.outcomes("add_artifacts", held.worker, artifact(held, size_bytes=777))
    await project.set_clock("2030-01-01 00:00:02.5+00")
    await project.settle("complete_sessions", held, result={})
    assert await told(project) == [
        ("generation_queued", {"character_id": None, "image_count": 1}),
        ("generation_started", {"character_id": None, "model": None}),
        ("image_stored", {"character_id": None, "size_bytes": 777}),
        ("generation_completed", {"character_id": None, "duration_ms": 2500}),
    ]
    found = await project.rows("select distinct session, kind, owner from listener.events")
    assert found == [{"session": held.session, "kind": "headshot", "owner": owner}]


async def test_the_model_is_what_the_worker_registered_for_the_kind(project: Project, owner: UUID) -> None:
    await project.insert(owner)
    worker = uuid4()
    await project.answer(
        "register_worker",
        p_worker=worker,
        p_name="gpu",
        p_kinds=["headshot"],
        p_slots=1,
        p_devices={"device": "cuda", "models": {"headshot": "org/flux", "portrait": "org/other"}},
        p_version="0",
        p_lease_s=30,
    )
    await project.claim(worker)
    assert (await told(project))[1] == ("generation_started", {"character_id": None, "model": "org/flux"})


async def test_a_pack_tells_its_character_its_images_and_its_whole_duration(project: Project, owner: UUID) -> None:
    await project.connection.execute(PACKS)
    await project.set_clock(START)
    held, character = await pack(project, owner, "5")
    await project.set_clock("2030-01-01 00:00:01+00")
    first = Held(held.worker, held.session, held.attempt, held.row)
    await project.outcomes("add_artifacts", held.worker, artifact(first, "lost"))
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=0)
    (row,) = await project.claim(held.worker, 1, None, "pack")
    held = Held(held.worker, held.session, row["attempt"], held.row)
    await project.set_clock("2030-01-01 00:00:04+00")
    items = [artifact(held, "1"), artifact(held, "2"), artifact(held, "log", content_type="text/plain")]
    await project.outcomes("add_artifacts", held.worker, *items)
    await project.settle("complete_sessions", held, result={})
    events = await told(project)
    assert {properties["character_id"] for _, properties in events} == {str(character)}
    assert events[0][1]["image_count"] == 5
    assert [event for event, _ in events].count("image_stored") == 4
    assert events[-2] == ("generation_completed", {"character_id": str(character), "duration_ms": 3000})
    assert events[-1] == (
        "pack_completed",
        {"character_id": str(character), "image_count": 2, "total_duration_ms": 4000},
    )


@pytest.mark.parametrize(("given", "counted"), [(None, 1), ("7", 7), ("many", 1), ("99999999999", 1), ("-3", 1)])
async def test_whatever_a_user_asks_for_is_counted_or_counts_as_one(
    project: Project, owner: UUID, given: str | None, counted: int
) -> None:
    await project.connection.execute(PACKS)
    await pack(project, owner, given)
    assert (await told(project))[0][1]["image_count"] == counted


async def test_every_attempt_starts_once_and_only_the_last_failure_is_told(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    for _ in range(2):
        await project.settle("retry_sessions", held, code="provider_busy", delay_s=0)
        held = await project.again(held)
    assert await names(project) == ["generation_queued"] + ["generation_started"] * 3
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=0)
    assert (await told(project))[-1] == ("generation_failed", {"character_id": None, "error_type": "provider_busy"})


async def test_rejected_content_is_a_failure_of_that_type(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.settle("fail_sessions", held, code="content_rejected")
    assert (await told(project))[-1][1]["error_type"] == "content_rejected"
    assert await project.value("select sum(content_rejected) from listener.events_per_day") == 1


async def test_what_the_database_fails_itself_is_told_too(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    held = await project.held(await project.worker(lease_s=300), owner)
    for minute in (4, 8):
        await project.set_clock(f"2030-01-01 00:0{minute}:00+00")
        await project.answer("heartbeat", p_worker=held.worker, p_running=[held.item()], p_open_claims=[])
    await project.set_clock("2030-01-01 00:11:00+00")
    await project.answer("sweep_sessions")
    assert (await told(project))[-1] == ("generation_failed", {"character_id": None, "error_type": "time_limit"})


async def test_a_call_that_is_repeated_tells_nothing_twice(project: Project, owner: UUID) -> None:
    worker, claim = await project.worker(), uuid4()
    await project.insert(owner, 2)
    one, two = [Held(worker, r["session"], r["attempt"], r["row_id"]) for r in await project.claim(worker, 2, claim)]
    await project.claim(worker, 2, claim)
    for _ in range(2):
        await project.outcomes("add_artifacts", worker, artifact(one), artifact(one, size_bytes=5))
        await project.settle("complete_sessions", one, result={})
        await project.settle("fail_sessions", two, code="x")
    assert sorted(await names(project)) == [
        "generation_completed",
        "generation_failed",
        *["generation_queued"] * 2,
        *["generation_started"] * 2,
        "image_stored",
    ]


async def test_a_stale_or_foreign_worker_tells_nothing(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    before = await names(project)
    stranger = Held(await project.worker(), held.session, held.attempt, held.row)
    for function in ("complete_sessions", "fail_sessions", "retry_sessions"):
        await project.settle(function, stranger, code="x")
    await project.outcomes("add_artifacts", stranger.worker, artifact(stranger))
    assert await names(project) == before


async def test_an_insert_that_cannot_be_paid_tells_nothing(project: Project, owner: UUID) -> None:
    with pytest.raises(asyncpg.PostgresError, match="credits_insufficient"):
        await project.insert(owner, 11)
    assert await names(project) == []


async def test_the_same_event_twice_breaks_the_key(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    with pytest.raises(asyncpg.UniqueViolationError):
        await project.value("select listener.record_events(array[$1::uuid], 'generation_queued')", held.session)


async def test_settlements_at_the_same_time_tell_one_end(project: Project, another: Opener, owner: UUID) -> None:
    held = await project.held(owner=owner)
    workers = [await another() for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for n, settler in enumerate(workers):
            function = "complete_sessions" if n % 2 else "fail_sessions"
            group.create_task(settler.settle(function, held, code="x", result={}))
    assert len(await names(project)) == 3


async def test_an_attempt_that_no_row_can_show_has_not_started(project: Project, owner: UUID) -> None:
    await project.connection.execute(SECOND_TABLE)
    await project.insert(owner)
    await project.connection.execute("insert into public.portrait_sessions (user_id, prompt) values ($1, 'p')", owner)
    await project.connection.execute(
        "alter table public.portrait_sessions add constraint never_runs check (status <> 'processing') not valid"
    )
    worker = await project.worker(kinds=("headshot", "portrait"))
    assert len(await project.claim(worker, 2, None, "headshot", "portrait")) == 1
    assert await project.rows("select kind from listener.events where event = 'generation_started'") == [
        {"kind": "headshot"}
    ]


async def test_a_kind_may_tell_nothing(project: Project, owner: UUID) -> None:
    await project.connection.execute("update listener.kinds set records_events = false")
    held = await project.held(owner=owner)
    await project.outcomes("add_artifacts", held.worker, artifact(held))
    await project.settle("complete_sessions", held, result={})
    assert await names(project) == []


async def test_events_outlive_their_session(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.settle("complete_sessions", held, result={})
    await project.connection.execute("delete from public.headshot_sessions")
    assert await names(project) == ["generation_queued", "generation_started", "generation_completed"]


async def test_a_day_is_counted_by_kind_and_event(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    worker = await project.worker(lease_s=300)
    await project.insert(owner, 3)
    await project.insert(uuid4(), 1)
    running = [Held(worker, r["session"], r["attempt"], r["row_id"]) for r in await project.claim(worker, 4)]
    for second, held in enumerate(running[:3], 1):
        await project.set_clock(f"2030-01-01 00:00:0{second}+00")
        await project.outcomes("add_artifacts", worker, artifact(held))
        await project.settle("complete_sessions", held, result={})
    await project.set_clock("2030-01-02 00:00:00+00")
    await project.settle("fail_sessions", running[3], code="x")
    days: list[dict[str, Any]] = await project.rows(
        "select day::text, event, n, owners, image_count, size_bytes, duration_ms_p50 from listener.events_per_day "
        "order by day, event"
    )
    shown = [tuple(day.values()) for day in days]
    assert shown == [
        ("2030-01-01", "generation_completed", 3, 2, None, None, 2000.0),
        ("2030-01-01", "generation_queued", 4, 2, 4, None, None),
        ("2030-01-01", "generation_started", 4, 2, None, None, None),
        ("2030-01-01", "image_stored", 3, 2, None, 3000, None),
        ("2030-01-02", "generation_failed", 1, 1, None, None, None),
    ]


@pytest.mark.parametrize("relation", ["events", "events_per_day"])
async def test_service_role_reads_events_and_nobody_writes_or_else_reads(
    project: Project, owner: UUID, relation: str
) -> None:
    await project.insert(owner)
    async with project.acting("service_role") as connection:
        assert await connection.fetchval(f"select count(*) from listener.{relation}") == 1
    for role in ("anon", "authenticated"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting(role, owner) as connection:
                await connection.fetch(f"select 1 from listener.{relation}")
    for change in ("delete from listener.events", "update listener.events set event = event"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting("service_role") as connection:
                await connection.execute(change)

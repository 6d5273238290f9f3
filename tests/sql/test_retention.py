"""How long clips are kept: hours after their session ended, as the bucket says; their rows stay without them."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from tests.sql.avatars import USERS, speak, take
from tests.sql.project import Held, Project

START = "2030-01-01 00:00:00+00"
Object = tuple[str, str]


async def clip(project: Project, held: Held, owner: UUID, name: str = "video") -> set[Object]:
    """Record a clip and its poster, as an attempt does."""
    paths = {"path": f"{owner}/{held.row}/{name}.mp4", "thumbnail_path": f"{owner}/{held.row}/{name}.poster.webp"}
    item = held.item(name=f"{name}.mp4", bucket="videos", size_bytes=9, content_type="video/mp4", **paths)
    assert await project.outcomes("add_artifacts", held.worker, item) == [("applied", None)]
    return {("videos", path) for path in paths.values()}


async def delivered(project: Project, owner: UUID) -> tuple[Held, set[Object]]:
    await speak(project, owner)
    (held,) = await take(project)
    objects = await clip(project, held, owner)
    await project.settle("complete_sessions", held, result={"seed": 7})
    return held, objects


async def expired(project: Project) -> dict[Object, str]:
    found = await project.rpc("expired_artifacts")
    assert len({(row["bucket"], row["path"]) for row in found}) == len(found)
    return {(row["bucket"], row["path"]): row["reason"] for row in found}


async def forget(project: Project, objects: set[Object]) -> set[Object]:
    items = [{"bucket": bucket, "path": path} for bucket, path in objects]
    return {(row["bucket"], row["path"]) for row in await project.rpc("forget_artifacts", p_objects=items)}


async def at(project: Project, clock: str) -> None:
    await project.set_clock(f"2030-01-01 {clock}+00")


async def test_a_clip_goes_six_hours_after_its_session_ended_and_its_row_stays(project: Project, owner: UUID) -> None:
    await at(project, "00:00:00")
    held, objects = await delivered(project, owner)
    await at(project, "05:59:59")
    assert await expired(project) == {}
    assert await forget(project, objects) == set(), "who asks too early gets nothing"
    await at(project, "06:00:01")
    assert await expired(project) == dict.fromkeys(objects, "kept_long_enough")
    assert await forget(project, objects) == objects
    assert await expired(project) == {}
    (row,) = await project.rows(f"select status, result from {USERS} where id = $1", held.row)
    assert row == {"status": "completed", "result": {"seed": 7, "artifacts": []}}
    await project.answer("sweep_sessions")
    assert await project.value("select count(*) from listener.sessions") == 1, "accounting keeps it"
    assert await project.entries(owner) == ["grant", "charge"]


async def test_the_hours_count_from_the_end_of_the_session_and_not_while_it_runs(project: Project, owner: UUID) -> None:
    await at(project, "00:00:00")
    await speak(project, owner)
    (held,) = await take(project)
    objects = await clip(project, held, owner)
    await project.connection.execute("update listener.workers set lease_expires_at = '2031-01-01'")
    await at(project, "23:00:00")
    assert await expired(project) == {}
    await project.settle("complete_sessions", held, result={})
    assert await expired(project) == {}
    await project.set_clock("2030-01-02 05:00:01+00")
    assert set(await expired(project)) == objects


@pytest.mark.parametrize(("hours", "before", "after"), [(0.5, "00:29:59", "00:30:01"), (12, "11:59:59", "12:00:01")])
async def test_other_hours_hold_for_what_lies_there_already(
    project: Project, owner: UUID, hours: float, before: str, after: str
) -> None:
    await at(project, "00:00:00")
    _, objects = await delivered(project, owner)
    await project.rpc("set_retention", p_bucket="videos", p_hours=float(hours))
    await at(project, before)
    assert await expired(project) == {}
    await at(project, after)
    assert set(await expired(project)) == objects


async def test_without_hours_a_clip_is_kept_as_long_as_its_kind_says(project: Project, owner: UUID) -> None:
    await at(project, "00:00:00")
    _, objects = await delivered(project, owner)
    await project.rpc("set_retention", p_bucket="videos", p_hours=None)
    await project.set_clock("2040-01-01 00:00:00+00")
    assert await expired(project) == {}
    await project.connection.execute("update listener.kinds set keep_days = 30 where kind = 'avatar'")
    assert set(await expired(project)) == objects


async def test_whichever_of_days_and_hours_ends_first_decides(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    _, objects = await delivered(project, owner)
    await project.connection.execute("update listener.kinds set keep_days = 1 where kind = 'avatar'")
    await at(project, "06:00:01")
    assert set(await expired(project)) == objects
    await project.rpc("set_retention", p_bucket="videos", p_hours=48.0)
    assert await expired(project) == {}
    await project.set_clock("2030-01-02 00:00:01+00")
    assert set(await expired(project)) == objects


async def test_what_a_failed_attempt_left_in_the_bucket_goes_with_it(project: Project, owner: UUID) -> None:
    """Also where no walk can list the objects, because they do not lie in Supabase."""
    await at(project, "00:00:00")
    await speak(project, owner)
    (held,) = await take(project)
    objects = await clip(project, held, owner)
    await project.settle("fail_sessions", held, code="generation_failed", message="No.")
    await at(project, "06:00:01")
    assert await expired(project) == dict.fromkeys(objects, "not_delivered")
    assert await forget(project, objects) == objects


async def test_the_results_of_other_buckets_are_not_touched(project: Project, owner: UUID) -> None:
    await at(project, "00:00:00")
    held = await project.held(owner=owner)
    item = held.item(
        name="a", bucket="headshots", path=f"{owner}/{held.row}.png", size_bytes=1, content_type="image/png"
    )
    await project.outcomes("add_artifacts", held.worker, item)
    await project.settle("complete_sessions", held, result={})
    await project.set_clock("2040-01-01 00:00:00+00")
    assert await expired(project) == {}


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
async def test_hours_that_are_none_are_refused(project: Project, hours: float) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await project.rpc("set_retention", p_bucket="videos", p_hours=hours)


MANY = """
insert into listener.accounts (owner) values ('00000000-0000-4000-8000-000000000001');
set local session_replication_role = replica;
insert into listener.sessions (
  table_id, row_id, kind, owner, status, params, cost, start_tag, fair_tag, max_attempts, time_limit_s, request_id,
  attempt, finished_at
)
select
  registry.id, gen_random_uuid(), registry.kind, '00000000-0000-4000-8000-000000000001', 'completed', '{}',
  0, 0, 0, 3, 600, 'r', 1, now() - interval '1 day' - n * interval '1 minute'
from generate_series(1, 10000) as n
cross join listener.session_tables as registry
where registry.relation in ('public.headshot_sessions'::regclass, 'public.avatar_sessions'::regclass);
insert into listener.artifacts (session, attempt, name, bucket, path, size_bytes, content_type, created_at)
select session.id, 1, 'a', policy.bucket, session.id::text, 1, 'x', session.finished_at
from listener.sessions as session
inner join listener.kinds as policy on session.kind = policy.kind
where session.kind = 'headshot' or session.finished_at > now() - interval '1460 minutes';
analyze listener.sessions, listener.artifacts;
"""


async def test_sessions_whose_clips_went_long_ago_are_not_read_again(project: Project) -> None:
    transaction = project.connection.transaction()
    await transaction.start()
    await project.connection.execute(MANY)
    found = await project.connection.fetch("select * from public.expired_artifacts(100)")
    assert len(found) == 19
    aged = "bucket = 'videos' and saved_at < now() - interval '6 hours' order by saved_at limit 100"
    plan = await project.connection.fetch(f"explain select * from listener.due_artifacts where {aged}")
    assert "artifacts_by_age" in "\n".join(line[0] for line in plan)
    await transaction.rollback()

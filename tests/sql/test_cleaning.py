"""What may be removed from Storage, and that nothing a row names ever is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sql.avatars import speak
from tests.sql.packs import create, image, job, order, save, seen, started, take
from tests.sql.project import Held, Project, Row, expect_invariants

Object = tuple[str, str]
START = "2030-01-01 00:00:00+00"
A_MONTH_LATER = "2030-02-10 00:00:00+00"


async def expired(project: Project) -> dict[Object, str]:
    found = await project.rpc("expired_artifacts")
    return {(row["bucket"], row["path"]): row["reason"] for row in found}


async def orphaned(project: Project, page: int = 1000) -> dict[Object, str]:
    """Walk all objects, page by page."""
    found: dict[Object, str] = {}
    place: dict[str, Any] | None = {"bucket": "", "path": ""}
    while place is not None:
        answer = await project.answer("orphaned_objects", p_bucket=place["bucket"], p_path=place["path"], p_limit=page)
        assert answer["examined"] <= page
        found |= {(row["bucket"], row["path"]): row["reason"] for row in answer["objects"]}
        place = answer["next"]
    return found


async def elsewhere(project: Project, *objects: Object, at: str = START) -> dict[Object, str]:
    """Ask about objects that lie in a store of their own, written at that time."""
    items = [{"bucket": bucket, "path": path, "size_bytes": 1, "changed_at": at} for bucket, path in objects]
    found = await project.rpc("orphaned_elsewhere", p_objects=items)
    return {(row["bucket"], row["path"]): row["reason"] for row in found}


async def forget_elsewhere(project: Project, *objects: Object, at: str = START) -> set[Object]:
    items = [{"bucket": bucket, "path": path, "changed_at": at} for bucket, path in objects]
    return {(row["bucket"], row["path"]) for row in await project.rpc("forget_artifacts", p_objects=items)}


async def forget(project: Project, *objects: Object) -> set[Object]:
    """Forget objects and remove those that may go, as a worker does."""
    items = [{"bucket": bucket, "path": path} for bucket, path in objects]
    freed = {(row["bucket"], row["path"]) for row in await project.rpc("forget_artifacts", p_objects=items)}
    for bucket, path in freed:
        await project.connection.execute("set storage.allow_delete_query = true")
        await project.connection.execute("delete from storage.objects where (bucket_id, name) = ($1, $2)", bucket, path)
    await expect_every_named_object(project)
    return freed


async def expect_every_named_object(project: Project) -> None:
    """No row names an object that is gone."""
    missing = await project.rows(
        """
        with named as (
          select bucket, path from listener.artifacts
          union select bucket, thumbnail_path from listener.artifacts where thumbnail_path is not null
          union select 'characters', storage_path from public.character_images
          union select 'characters', reference_path from public.characters where reference_path is not null
          union select 'uploads', face_reference_path from public.characters where face_reference_path is not null
          union select shown ->> 'bucket', shown ->> 'path'
            from public.generation_jobs cross join jsonb_array_elements(result -> 'artifacts') as shown
        )
        select * from named where not exists (
          select from storage.objects where bucket_id = named.bucket and name = named.path
        )
        """
    )
    assert missing == []


async def put(project: Project, *objects: Object, at: str = START) -> None:
    for bucket, path in objects:
        await project.connection.execute(
            "insert into storage.objects (bucket_id, name, created_at, updated_at) "
            "select $1, $2, stamp.at, stamp.at from (select $3::text::timestamptz as at) as stamp "
            "on conflict do nothing",
            bucket,
            path,
            at,
        )


def of(*items: Row) -> set[Object]:
    """The objects of recorded artifacts, thumbnails too."""
    return {("characters", item[field]) for item in items for field in ("path", "thumbnail_path")}


async def saved(project: Project, held: Held, *positions: int, **facts: Any) -> set[Object]:
    """Save images of a pack, with their objects."""
    objects = of(*(image(held, position) for position in positions))
    await put(project, *objects)
    await save(project, held, *positions, **facts)
    return objects


async def completed(project: Project, owner: UUID, **facts: Any) -> tuple[Held, set[Object]]:
    held = await started(project, owner)
    objects = await saved(project, held, 0, 1, **facts)
    await project.settle("complete_sessions", held, result={}, refund=3)
    return held, objects


async def test_what_is_kept_for_ever_is_never_named(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    _, objects = await completed(project, owner)
    await project.set_clock("2050-01-01 00:00:00+00")
    assert await expired(project) == await orphaned(project) == {}
    assert await forget(project, *objects) == set()
    assert await seen(project, owner) == [0, 1]


async def test_old_results_go_from_rows_first_and_then_from_storage(project: Project, owner: UUID) -> None:
    await project.connection.execute("update listener.kinds set keep_days = 30 where kind = 'pack'")
    await project.set_clock(START)
    held, objects = await completed(project, owner)
    before = await job(project, held)
    await project.set_clock("2030-01-30 00:00:00+00")
    assert await expired(project) == {}
    assert await forget(project, *objects) == set(), "who asks too early gets nothing"
    await project.set_clock(A_MONTH_LATER)
    assert await expired(project) == dict.fromkeys(objects, "kept_long_enough")
    assert await expired(project) == dict.fromkeys(objects, "kept_long_enough"), "asking changes nothing"
    assert await forget(project, *objects) == objects
    shown = await job(project, held)
    assert (shown["result"]["artifacts"], shown["completed_count"], await seen(project, owner)) == ([], 2, [])
    assert shown["version"] > before["version"]
    assert await expired(project) == {}
    await project.answer("sweep_sessions")
    assert await project.value("select count(*) from listener.sessions") == 0
    assert await project.entries(owner) == ["grant", "charge", "refund"]


async def test_a_character_s_reference_outlives_the_pack_that_drew_it(project: Project, owner: UUID) -> None:
    await project.connection.execute("update listener.kinds set keep_days = 30 where kind = 'pack'")
    await project.set_clock(START)
    held = await started(project, owner)
    reference = await saved(project, held, 0, similarity_state="reference")
    others = await saved(project, held, 1)
    await project.settle("complete_sessions", held, result={}, refund=3)
    await project.set_clock(A_MONTH_LATER)
    assert set(await expired(project)) == others
    assert await forget(project, *reference, *others) == others
    assert await seen(project, owner) == [0]


@pytest.mark.parametrize("way", ["row", "character"])
async def test_what_a_deleted_row_had_goes_at_once_and_its_words_too(project: Project, owner: UUID, way: str) -> None:
    held, objects = await completed(project, owner)
    async with project.acting("service_role" if way == "row" else "authenticated", owner) as connection:
        await connection.execute(f"delete from public.{'generation_jobs' if way == 'row' else 'characters'}")
    assert (await project.session(held))["params"] == {}
    assert await expired(project) == dict.fromkeys(objects, "row_deleted")
    assert await forget(project, *objects) == objects
    assert await project.entries(owner) == ["grant", "charge", "refund"]


async def test_a_running_pack_whose_character_is_deleted_is_cancelled_and_cleaned(
    project: Project, owner: UUID
) -> None:
    held = await started(project, owner)
    objects = await saved(project, held, 0)
    await project.outcomes("report_progress", held.worker, held.item(done=1, total=5))
    async with project.acting("authenticated", owner) as connection:
        await connection.execute("delete from public.characters")
    assert await project.balance(owner) == 9, "what was delivered by then is paid for"
    assert await project.settle("add_artifacts", held, **image(held, 1)) == ("refused", "SL001")
    assert await forget(project, *await expired(project)) == objects


async def test_what_was_never_delivered_is_found_by_the_walk(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    held = await started(project, owner)
    lost = await saved(project, held, 0)
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=0)
    again = await take(project, held.worker)
    kept = await saved(project, again, 0)
    assert await orphaned(project) == {}, "while it runs nothing is touched"
    await project.settle("complete_sessions", again, result={}, refund=4)
    assert await orphaned(project, page=1) == dict.fromkeys(lost, "not_delivered")
    assert await forget(project, *lost, *kept) == lost
    assert await seen(project, owner) == [0]


async def test_an_object_without_a_row_is_an_orphan_after_two_days(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    _, objects = await completed(project, owner)
    folder = f"{owner}/{uuid4()}"
    orphans = [
        ("characters", f"{folder}/{uuid4()}.2/3.png"),
        ("generated", f"{folder}.jpg"),
        ("headshots", f"{folder}.2.png"),
    ]
    strange = [("generated", "readme.txt"), ("generated", f"{owner}/mine.png"), ("uploads", f"{folder}.png")]
    await put(project, *orphans, *strange)
    await project.set_clock("2030-01-02 23:00:00+00")
    assert await orphaned(project) == {}
    assert await forget(project, *orphans, *strange) == set(), "who asks too early gets nothing"
    await project.set_clock("2030-01-03 01:00:00+00")
    assert await orphaned(project, page=2) == dict.fromkeys(orphans, "named_by_no_row")
    assert await forget(project, *orphans, *strange, *objects) == set(orphans)


async def test_an_orphan_in_a_store_of_its_own_is_judged_by_the_time_that_the_store_tells(
    project: Project, owner: UUID
) -> None:
    await project.set_clock(START)
    held = await started(project, owner)
    named = of(image(held, 0), image(held, 1))
    await put(project, *named)
    await save(project, held, 0, 1)
    orphan, strange = ("characters", f"{owner}/{uuid4()}/{uuid4()}.2/3.png"), ("generated", f"{owner}/mine.png")
    every = (orphan, strange, ("theirs", orphan[1]), *named)
    await project.set_clock("2030-01-02 23:00:00+00")
    assert await elsewhere(project, *every) == {}, "young"
    assert await forget_elsewhere(project, *every) == set(), "who asks too early gets nothing"
    await project.set_clock("2030-01-03 01:00:00+00")
    assert await elsewhere(project, *every, at="2030-01-02 00:00:00+00") == {}
    assert await elsewhere(project, *every) == {orphan: "named_by_no_row"}
    assert await forget_elsewhere(project, *every) == {orphan}
    assert await forget(project, *every) == set(), "in Supabase Storage there is no such object"


async def test_a_store_of_its_own_is_told_what_was_never_delivered_and_whose_owner_is_gone(
    project: Project, owner: UUID
) -> None:
    await project.set_clock(START)
    held = await started(project, owner)
    lost = await saved(project, held, 0)
    await project.settle("retry_sessions", held, code="provider_busy", delay_s=0)
    again = await take(project, held.worker)
    kept = await saved(project, again, 0)
    await project.settle("complete_sessions", again, result={}, refund=4)
    assert await elsewhere(project, *lost, *kept) == dict.fromkeys(lost, "not_delivered")
    assert await forget_elsewhere(project, *lost, *kept) == lost
    await project.insert(other := uuid4())
    gone = ("headshots", f"{other}/{uuid4()}.png")
    assert await elsewhere(project, gone) == {}
    await project.answer("forget_owner", p_owner=other)
    assert await elsewhere(project, gone) == {gone: "owner_forgotten"}
    assert await forget_elsewhere(project, gone) == {gone}


async def test_a_bucket_that_is_not_ours_is_left_alone(project: Project, owner: UUID) -> None:
    await project.connection.execute("insert into storage.buckets (id, name) values ('theirs', 'theirs')")
    theirs = ("theirs", f"{owner}/{uuid4()}.jpg")
    await put(project, theirs)
    await project.set_clock(A_MONTH_LATER)
    assert await orphaned(project) == {}
    assert await forget(project, theirs) == set()


async def test_a_deleted_user_leaves_numbers_and_nothing_else(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    other = uuid4()
    _, theirs = await completed(project, other)
    for user in (owner, other):
        await project.connection.execute("insert into auth.users (id) values ($1)", user)
    await put(project, ("uploads", f"{owner}/face.jpg"), ("uploads", f"{other}/face.jpg"))
    held = await started(project, owner)
    objects = await saved(project, held, 0, 1)
    await project.settle("complete_sessions", held, result={"words": "secret"}, refund=3)
    await project.insert(owner, prompt="a secret")
    failed = await started(project, owner)
    wrong = {"fields": [{"field": "character.config.secret", "message": "my secret is no plain word"}]}
    await project.settle("fail_sessions", failed, code="invalid_params", message="my secret", details=wrong)
    open_job = await order(project, owner, await create(project, owner, config={"eye_color": "secret"}))
    await project.connection.execute("delete from auth.users where id = $1", owner)
    assert await project.balance(owner) == 8, "what was open is given back"
    assert (await project.session(open_job))["status"] == "cancelled"
    for table in ("characters", "generation_jobs", "character_images", "headshot_sessions"):
        assert await project.value(f"select count(*) from public.{table} where user_id = $1", owner) == 0
    left = await project.rows(
        "select to_jsonb(session) as row from listener.sessions as session union all "
        "select to_jsonb(event) from listener.events as event union all "
        "select to_jsonb(entry) from listener.ledger as entry"
    )
    assert "secret" not in str(left)
    gone = await expired(project) | await orphaned(project)
    assert set(gone) == objects | {("uploads", f"{owner}/face.jpg")}
    assert await forget(project, *gone, *theirs, ("uploads", f"{other}/face.jpg")) == set(gone)
    assert await seen(project, other) == [0, 1]
    assert await project.answer("forget_owner", p_owner=owner) == {"rows": 0, "characters": 0}


async def test_no_table_of_ours_is_forgotten_when_a_user_is(project: Project) -> None:
    ours = await project.rows(
        "select relation::text as name from listener.session_tables where is_ours and owner_column = 'user_id'"
    )
    body = await project.value("select prosrc from pg_catalog.pg_proc where proname = 'forget_owner'")
    tables = [str(row["name"]).removeprefix("public.") for row in ours]
    assert len(tables) == 4
    assert [name for name in tables if f"delete from public.{name} " not in body] == []


async def test_a_row_that_is_locked_is_cleaned_another_time(project: Project, another: Any, owner: UUID) -> None:
    await project.connection.execute("update listener.kinds set keep_days = 30 where kind = 'pack'")
    await project.set_clock(START)
    held, objects = await completed(project, owner)
    await project.set_clock(A_MONTH_LATER)
    holder = await another()
    async with holder.connection.transaction():
        await holder.connection.execute("select from public.generation_jobs where id = $1 for update", held.row)
        assert await forget(project, *objects) == set()
    assert await forget(project, *objects) == objects


async def test_a_broken_table_keeps_its_files(project: Project, owner: UUID) -> None:
    await project.connection.execute("update listener.kinds set keep_days = 30 where kind = 'pack'")
    await project.set_clock(START)
    _, objects = await completed(project, owner)
    await project.set_clock(A_MONTH_LATER)
    await project.connection.execute("update listener.session_tables set broken_at = now(), broken_reason = 'x'")
    assert await expired(project) == {}
    assert await forget(project, *objects) == set()
    await project.connection.execute("update listener.session_tables set broken_at = null, broken_reason = null")
    await expect_invariants(project)


MANY = """
update listener.kinds set keep_days = 30 where kind = 'pack';
insert into listener.accounts (owner) values ('00000000-0000-4000-8000-000000000001');
set local session_replication_role = replica;
insert into listener.sessions (
  table_id, row_id, kind, owner, status, params, cost, start_tag, fair_tag, max_attempts, time_limit_s, request_id,
  attempt, finished_at
)
select
  registry.id, gen_random_uuid(), 'pack', '00000000-0000-4000-8000-000000000001', 'completed', '{}', 0, 0, 0, 3, 600,
  'r', 1, now() - n * interval '1 minute'
from generate_series(1, 20000) as n
cross join listener.session_tables as registry
where registry.relation = 'public.generation_jobs'::regclass;
insert into listener.artifacts (session, attempt, name, bucket, path, size_bytes, content_type)
select
  session.id, 1, 'a', 'characters', session.owner::text || '/' || session.row_id::text || '.png', 1, 'image/png'
from listener.sessions as session;
insert into storage.objects (bucket_id, name) select artifact.bucket, artifact.path from listener.artifacts as artifact;
analyze listener.sessions, listener.artifacts, storage.objects;
"""


async def test_twenty_thousand_files_are_not_read_to_find_the_few_that_may_go(project: Project) -> None:
    transaction = project.connection.transaction()
    await transaction.start()
    await project.connection.execute(MANY)
    took: dict[str, timedelta] = {}
    for call in ("public.expired_artifacts(100)", "public.orphaned_objects('', '', 1000)"):
        began = await project.value("select clock_timestamp()")
        await project.connection.execute(f"select * from {call}")
        took[call] = await project.value("select clock_timestamp()") - began
    assert max(took.values()) < timedelta(seconds=1), took
    for column, index in (("discarded_at is not null", "discarded"), ("path = 'x'", "by_path")):
        plan = await project.connection.fetch(f"explain select * from listener.due_artifacts where {column}")
        assert f"artifacts_{index}" in "\n".join(line[0] for line in plan)
    await transaction.rollback()


async def test_who_was_forgotten_and_comes_back_keeps_what_he_uploads_then(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    left, late = ("uploads", f"{owner}/left.jpg"), ("uploads", f"{owner}/late.jpg")
    await put(project, left)
    await project.answer("forget_owner", p_owner=owner)
    await put(project, late, at="2030-01-01 01:00:00+00")  # with a token that was still good
    await put(project, back := ("uploads", f"{owner}/back.jpg"), at="2030-01-04 00:00:00+00")
    await project.set_clock("2030-01-20 00:00:00+00")
    assert await orphaned(project) == dict.fromkeys((left, late), "owner_forgotten")
    assert await forget(project, left, late, back) == {left, late}
    await project.answer("forget_owner", p_owner=owner)
    assert await orphaned(project) == {back: "owner_forgotten"}


async def test_the_face_of_a_character_that_is_gone_goes_and_others_stay(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    character = await create(project, owner)
    await project.connection.execute(
        "update public.characters set face_reference_path = $1", f"{owner}/{character}-{'0a' * 8}.png"
    )
    given, earlier = (("uploads", f"{owner}/{character}-{digest * 8}.png") for digest in ("0a", "0b"))
    never = ("uploads", f"{owner}/{uuid4()}-{'0c' * 8}.webp")
    own = [("uploads", f"{owner}/{uuid4()}.png"), ("uploads", f"{owner}/me/{uuid4()}-{'0c' * 8}.png")]
    await put(project, given, earlier, never, *own)
    await project.set_clock("2030-01-02 23:00:00+00")
    assert await orphaned(project) == {}
    await project.set_clock("2030-01-03 01:00:00+00")
    assert await forget(project, given, earlier, never, *own) == {never}
    async with project.acting("authenticated", owner) as connection:
        await connection.execute("delete from public.characters")
    assert await orphaned(project) == dict.fromkeys((given, earlier), "named_by_no_row")
    assert await forget(project, given, earlier, *own) == {given, earlier}


async def test_what_looks_like_a_face_stays_where_packs_are_an_apps_own(project: Project, owner: UUID) -> None:
    await project.set_clock(START)
    face = ("uploads", f"{owner}/{uuid4()}-{'0c' * 8}.webp")
    await put(project, face)
    await project.value("select listener.unwatch('public.generation_jobs')")
    await project.set_clock("2030-01-03 01:00:00+00")
    assert await orphaned(project) == {}
    assert await forget(project, face) == set()


async def test_an_owner_is_forgotten_also_where_none_of_our_tables_is_watched(project: Project, owner: UUID) -> None:
    ours = await project.rows("select relation::text from listener.session_tables where is_ours")
    for table in ours:
        await project.value("select listener.unwatch($1::text::regclass)", table["relation"])
    assert await project.answer("forget_owner", p_owner=owner) == {"rows": 0, "characters": 0}


async def test_what_came_over_http_is_removed_two_days_later_once_its_session_finished(
    project: Project, owner: UUID
) -> None:
    await project.set_clock(START)
    waiting, done = await speak(project, owner), await speak(project, owner)
    never = uuid4()

    def files(row: UUID) -> list[Object]:
        folder = f"{owner}/avatars/{row}/{uuid4()}"
        return [("uploads", f"{folder}/image-{'0a' * 8}.png"), ("uploads", f"{folder}/audio-{'0b' * 8}.mp3")]

    own = [("uploads", f"{owner}/avatars/me.png"), ("uploads", f"{owner}/avatars/{never}/me.png")]
    spent, needed = [*files(done), *files(never)], files(waiting)
    await put(project, *spent, *needed, *own)
    await project.answer("cancel_owner_session", p_owner=owner, p_row_id=done)
    await project.set_clock("2030-01-02 23:00:00+00")
    assert await orphaned(project) == {}
    await project.set_clock("2030-01-03 01:00:00+00")
    assert await orphaned(project) == dict.fromkeys(spent, "named_by_no_row")
    assert await forget(project, *spent, *needed, *own) == set(spent)

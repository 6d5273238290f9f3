"""Characters and their packs: what a job was ordered for, what it costs, and which images its user sees when."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.packs import CONFIG, STYLE, create, image, job, order, save, seen, started, take
from tests.sql.project import Held, Project


async def test_a_job_draws_its_character_as_it_was_when_it_was_ordered(project: Project, owner: UUID) -> None:
    face = f"{owner}/face.jpg"
    character = await create(project, owner, name="Ada", face_reference_path=face)
    row = await order(project, owner, character)
    async with project.acting("authenticated", owner) as connection:
        await connection.execute("update public.characters set name = 'Eve', config = '{}', style = '{}'")
    worker = await project.worker(kinds=("pack",))
    (claimed,) = await project.claim(worker, 1, None, "pack")
    params = claimed["params"]
    assert params["character"] == {
        "id": str(character),
        "name": "Ada",
        "config": CONFIG,
        "style": STYLE,
        "face_reference_path": face,
        "reference_path": None,
    }
    assert (params["id"], params["character_id"], params["image_count"]) == (str(row), str(character), 5)
    assert not {"status", "completed_at", "version"} & params.keys()
    assert (claimed["bucket"], claimed["path_prefix"]) == ("characters", f"{owner}/{character}/{row}")
    held = Held(worker, claimed["session"], claimed["attempt"], row)
    await project.settle("release_sessions", held)
    (again,) = await project.claim(worker, 1, uuid4(), "pack")
    assert again["path_prefix"] == f"{owner}/{character}/{row}.2", "a later attempt writes to a folder of its own"


@pytest.mark.parametrize("whose", ["nobody's", "another's"])
async def test_a_foreign_character_is_refused_and_not_charged(project: Project, owner: UUID, whose: str) -> None:
    character = uuid4() if whose == "nobody's" else await create(project, uuid4())
    for role in ("authenticated", "service_role"):
        with pytest.raises(asyncpg.PostgresError, match="character_unknown") as refused:
            async with project.acting(role, owner) as connection:
                await connection.execute(
                    "insert into public.generation_jobs (user_id, character_id) values ($1, $2)", owner, character
                )
        assert refused.value.sqlstate == "PT404"
    assert await project.entries(owner) == []


async def test_a_pack_costs_a_credit_an_image_and_has_five_to_ten(project: Project, owner: UUID) -> None:
    character = await create(project, owner)
    for count in (4, 11):
        with pytest.raises(asyncpg.CheckViolationError):
            await order(project, owner, character, count)
    await order(project, owner, character, 8)
    assert await project.balance(owner) == 2
    with pytest.raises(asyncpg.PostgresError, match="credits_insufficient"):
        await order(project, owner, character, 5)
    assert await project.value("select count(*) from public.generation_jobs") == 1


async def test_each_image_is_seen_as_soon_as_it_is_saved_with_what_was_measured(project: Project, owner: UUID) -> None:
    held = await started(project, owner)
    await save(project, held, 0, similarity_state="reference")
    assert await seen(project, owner) == [0]
    assert ((await job(project, held))["status"], (await job(project, held))["completed_count"]) == ("processing", 1)
    await save(project, held, 1, similarity=0.9, similarity_state="measured")
    await save(project, held, 2, similarity=0.6, similarity_state="below", seed=2**53 - 1)
    (first, _, last) = await project.rows("select * from public.character_images order by position")
    ids = {first["id"], last["id"]}
    assert (last["pose"], last["seed"], last["similarity_state"]) == ("pose2", 2**53 - 1, "below")
    assert (last["similarity"], last["width"], last["height"]) == (pytest.approx(0.6), 64, 48)
    assert (first["similarity"], first["similarity_state"]) == (None, "reference")
    assert (first["storage_path"][-6:], first["thumbnail_path"][-7:]) == ("/0.png", "/0.webp")
    assert (first["job_id"], first["user_id"]) == (held.row, owner)
    await project.settle("complete_sessions", held, result={"model": "m"}, refund=2)
    shown = await job(project, held)
    assert (shown["completed_count"], shown["status"], shown["progress"]) == (3, "completed", 100)
    assert (shown["completed_at"] is not None, shown["result"]["model"]) == (True, "m")
    assert ids <= {row["id"] for row in await project.rows("select id from public.character_images")}
    (character,) = await project.rows("select * from public.characters")
    assert character["image_urls"] == [f"https://signed/{n}" for n in range(3)]
    assert character["reference_path"] == first["storage_path"]


async def reference_of(project: Project, character: UUID) -> Any:
    return await project.value("select reference_path from public.characters where id = $1", character)


async def drawn(project: Project, held: Held, state: str) -> str:
    """Complete a pack of one image; its path."""
    await save(project, held, 0, similarity_state=state)
    await project.settle("complete_sessions", held, result={})
    return str(image(held, 0)["path"])


async def test_a_reference_stays_until_a_pack_that_could_not_read_it_draws_it_anew(
    project: Project, owner: UUID
) -> None:
    await project.grant(owner, 90)
    character = await create(project, owner)
    for _ in range(2):
        await order(project, owner, character)
    worker = await project.worker(kinds=("pack",))
    first, beside = [await take(project, worker) for _ in range(2)]
    reference = await drawn(project, first, "reference")
    await drawn(project, beside, "reference")
    assert await reference_of(project, character) == reference, "ordered before there was one"
    await order(project, owner, character)
    await drawn(project, await take(project, worker), "measured")
    assert await reference_of(project, character) == reference
    await order(project, owner, character)
    anew = await drawn(project, await take(project, worker), "reference")
    assert await reference_of(project, character) == anew


async def test_what_is_missing_of_a_pack_is_given_back_once(project: Project, owner: UUID) -> None:
    held = await started(project, owner, 8)
    await save(project, held, 0, 1, 2, 3, 4)
    for _ in range(2):
        await project.settle("complete_sessions", held, result={}, refund=3)
    assert await project.balance(owner) == 10 - 5
    assert await project.entries(owner) == ["grant", "charge", "refund"]
    assert await seen(project, owner) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("end", "left", "fields"),
    [
        ("retry_sessions", [], {"code": "provider_busy", "delay_s": 0}),
        ("release_sessions", [], {}),
        ("fail_sessions", [], {"code": "generation_failed"}),
        ("cancel_sessions", [0, 1], {"refund": 3}),
        ("cancel_sessions", [0, 1], {"refund": 4}),  # stopped before it counted the second one
        ("cancel_sessions", [], {"refund": 5}),
    ],
)
async def test_images_of_an_attempt_that_did_not_settle_go_away(
    project: Project, owner: UUID, end: str, left: list[int], fields: dict[str, Any]
) -> None:
    held = await started(project, owner)
    await save(project, held, 0, 1)
    if end == "cancel_sessions":
        async with project.acting("authenticated", owner) as connection:
            await connection.fetchval("select public.cancel_session($1)", held.row)
    assert await project.settle(end, held, **fields) == ("applied", None)
    assert await seen(project, owner) == left
    assert (await job(project, held))["completed_count"] == len(left)
    kept = 5 if end in {"retry_sessions", "release_sessions"} else len(left)
    assert await project.balance(owner) == 10 - kept
    if kept == 5:
        again = await take(project, held.worker)
        await save(project, again, 0)
        assert await seen(project, owner) == [0]


async def test_a_lost_worker_s_images_go_away_and_come_again(project: Project, owner: UUID) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    held = await started(project, owner)
    await save(project, held, 0, 1)
    await project.set_clock("2030-01-01 00:05:00+00")
    await project.answer("sweep_sessions")
    assert await seen(project, owner) == []
    assert await project.settle("add_artifacts", held, **image(held, 2)) == ("refused", "SL001")
    again = await take(project)
    await save(project, again, 0, 1)
    assert await seen(project, owner) == [0, 1]


@pytest.mark.parametrize(
    "facts",
    [
        {"position": "first", "similarity": "much", "similarity_state": "so-so", "seed": "x"},
        {"position": -1, "similarity": 1.5, "seed": -3},
        {"position": 1e300, "similarity": 1e300, "seed": 2**80, "pose": {"a": 1}},
        {"position": None, "similarity": None, "seed": None, "pose": None, "similarity_state": None},
    ],
)
async def test_senseless_facts_put_no_table_out_of_service(
    project: Project, owner: UUID, facts: dict[str, Any]
) -> None:
    held = await started(project, owner)
    assert await project.outcomes("add_artifacts", held.worker, image(held, 0) | {"facts": facts}) == [
        ("applied", None)
    ]
    (shown,) = await project.rows("select * from public.character_images")
    assert (shown["position"], shown["similarity"], shown["seed"]) == (0, None, None)
    assert shown["similarity_state"] == "not_measured"
    assert await project.value("select count(*) from listener.session_tables where broken_at is not null") == 0


async def test_a_pack_tells_its_character_and_each_image(project: Project, owner: UUID) -> None:
    held = await started(project, owner, 6)
    await save(project, held, 0, 1, 2)
    await project.settle("complete_sessions", held, result={}, refund=3)
    told = await project.rows("select event, properties from listener.events order by at, event, occurrence")
    character = str((await job(project, held))["character_id"])
    assert {row["properties"]["character_id"] for row in told} == {character}
    events: dict[str, list[Any]] = {}
    for row in told:
        events.setdefault(row["event"], []).append(row["properties"])
    assert events["generation_queued"][0]["image_count"] == 6
    assert [one["size_bytes"] for one in events["image_stored"]] == [1000, 1001, 1002]
    (done,) = events["pack_completed"]
    assert done["image_count"] == 3
    assert done["total_duration_ms"] >= 0


async def test_two_users_see_and_change_nothing_of_each_other(project: Project, owner: UUID) -> None:
    other = uuid4()
    for user in (owner, other):
        held = await started(project, user)
        await save(project, held, 0)
    for user in (owner, other):
        async with project.acting("authenticated", user) as connection:
            for table in ("characters", "generation_jobs", "character_images"):
                found = await connection.fetch(f"select user_id from public.{table}")
                assert [row["user_id"] for row in found] == [user]
            assert await connection.execute("update public.characters set name = 'mine'") == "UPDATE 1"
    for change in (
        f"insert into public.characters (user_id, config) values ('{other}', '{{}}')",
        f"update public.characters set user_id = '{other}'",
        "update public.characters set reference_path = 'x'",
        "update public.generation_jobs set image_count = 10",
        "delete from public.generation_jobs",
        "delete from public.character_images",
        "insert into public.generation_jobs (character_id, status) select id, 'completed' from public.characters",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting("authenticated", owner) as connection:
                await connection.execute(change)
    for table in ("characters", "generation_jobs", "character_images"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting("anon") as connection:
                await connection.fetch(f"select 1 from public.{table}")


@pytest.mark.parametrize(
    "path", ["{other}/face.jpg", "{owner}/../x.jpg", "/{owner}/x.jpg", "{owner}//x.jpg", "{owner}/"]
)
async def test_a_face_lies_in_its_user_s_own_folder(project: Project, owner: UUID, path: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await create(project, owner, face_reference_path=path.format(owner=owner, other=uuid4()))


async def test_an_app_whose_own_characters_bear_our_name_keeps_them(project: Project, owner: UUID) -> None:
    """The way of docs/stores-and-keys.md, from the migration on."""
    await project.connection.execute(
        """
        create table public.own (id serial primary key, user_id uuid, hero text);
        select listener.unwatch('public.generation_jobs');
        drop table public.character_images, public.generation_jobs, public.characters cascade;
        alter table public.own rename to characters;
        """
    )
    await project.connection.execute("insert into public.characters (hero, user_id) values ('Ada', $1)", owner)
    held = await project.held(owner=owner)
    artifact = {"name": "a", "bucket": "headshots", "path": f"{owner}/{held.row}.png", "size_bytes": 1}
    await project.settle("add_artifacts", held, **artifact, content_type="image/png", facts={"position": 1})
    await project.settle("complete_sessions", held, result={})
    assert (await project.row(held))["result"]["artifacts"][0]["facts"] == {"position": 1}
    await project.connection.execute("insert into storage.objects (bucket_id, name) values ('headshots', 'x.png')")
    assert (await project.answer("orphaned_objects"))["objects"] == []
    assert await project.answer("forget_owner", p_owner=owner) == {"rows": 1, "characters": 0}
    assert [row["reason"] for row in await project.rpc("expired_artifacts")] == ["row_deleted"]
    items = [{"bucket": "headshots", "path": artifact["path"]}]
    assert [row["path"] for row in await project.rpc("forget_artifacts", p_objects=items)] == [artifact["path"]]
    assert await project.value("select hero from public.characters") == "Ada"


async def test_a_user_fills_no_database_with_characters(project: Project, owner: UUID) -> None:
    many = "insert into public.characters (user_id, config) select $1, '{}' from generate_series(1, $2)"
    with pytest.raises(asyncpg.PostgresError, match="too_many_characters"):
        async with project.acting("authenticated", owner) as connection:
            await connection.execute(many, owner, 1001)
    async with project.acting("authenticated", owner) as connection:
        await connection.execute(many, owner, 1000)
    with pytest.raises(asyncpg.PostgresError, match="too_many_characters"):
        await create(project, owner)
    await create(project, uuid4())

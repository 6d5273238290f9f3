"""The two tables of talking avatars: what a row may hold, where its clip lies, and that nobody sees another's."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.avatars import INPUTS, STORES, USERS, order, put, speak, take
from tests.sql.project import Project
from tests.sql.tryon import open_store

WRONG: dict[str, tuple[str, Any]] = {
    "an empty picture": ("image_url", ""),
    "a picture's address without end": ("image_url", "https://pictures.example/" + "x" * 4096),
    "an empty sound": ("audio_url", ""),
    "a sound's address without end": ("audio_url", "https://sounds.example/" + "x" * 4096),
    "a prompt without end": ("prompt", "x" * 2001),
    "a resolution that no engine has": ("resolution", "4k"),
}


async def test_what_no_clip_may_be_made_of_is_refused_and_not_charged(project: Project) -> None:
    store = await open_store(project)
    for table, owner in ((USERS, {"user_id": store.member}), (STORES, {"store_id": store.id})):
        for wrong, (column, value) in WRONG.items():
            refused = ""
            try:
                async with project.acting("service_role") as connection:
                    await put(connection, table, **owner, **{column: value})
            except asyncpg.CheckViolationError as error:
                refused = str(error.constraint_name)
            assert column in refused, f"{table} takes {wrong}"
    assert await project.value("select count(*) from listener.ledger") == 0


async def test_users_and_stores_are_charged_one_credit_and_refunded_when_it_fails(
    project: Project, owner: UUID
) -> None:
    store = await open_store(project)
    mine, theirs = await speak(project, owner), await order(project, store)
    assert [await project.balance(payer) for payer in (owner, store.id)] == [9, 9]
    held = await take(project, 2)
    assert {attempt.row for attempt in held} == {mine, theirs}
    for attempt in held:
        await project.settle("fail_sessions", attempt, code="invalid_params", message="Not this sound.")
    assert [await project.balance(payer) for payer in (owner, store.id)] == [10, 10]
    for table, row in ((USERS, mine), (STORES, theirs)):
        shown = await project.rows(f"select status, error_code from {table} where id = $1", row)
        assert shown == [{"status": "failed", "error_code": "invalid_params"}]


async def test_clips_of_users_and_stores_lie_in_folders_of_their_own(project: Project, owner: UUID) -> None:
    store = await open_store(project)
    mine, theirs = await speak(project, owner), await order(project, store)
    worker = await project.worker(kinds=("avatar",))
    for suffix in ("", ".2"):
        claimed = await project.claim(worker, 2, None, "avatar")
        assert {row["row_id"]: (row["bucket"], row["path_prefix"]) for row in claimed} == {
            mine: ("videos", f"{owner}/{mine}{suffix}"),
            theirs: ("videos", f"{store.id}/generated/{theirs}{suffix}"),
        }
        assert {(row["time_limit_s"], row["max_attempts"]) for row in claimed} == {(600, 2)}
        items = [{"session": str(row["session"]), "attempt": row["attempt"]} for row in claimed]
        assert await project.outcomes("release_sessions", worker, *items) == [("applied", None)] * 2


async def test_what_the_row_asks_for_reaches_the_worker_whole(project: Project, owner: UUID) -> None:
    row = await speak(project, owner, prompt="she smiles", resolution="480p", seed=7)
    worker = await project.worker(kinds=("avatar",))
    (claimed,) = await project.claim(worker, 1, None, "avatar")
    params = claimed["params"]
    assert params.pop("created_at")
    assert params == {
        "id": str(row),
        "user_id": str(owner),
        **INPUTS,
        "prompt": "she smiles",
        "resolution": "480p",
        "seed": 7,
    }


async def seen(project: Project, user: UUID, table: str) -> set[UUID]:
    async with project.acting("authenticated", user) as connection:
        return {row["id"] for row in await connection.fetch(f"select id from {table}")}


async def test_rows_are_seen_by_their_user_and_by_the_members_of_their_store_alone(project: Project) -> None:
    users, stores = (uuid4(), uuid4()), (await open_store(project, "a"), await open_store(project, "b"))
    for user in users:
        mine = await speak(project, user)
        assert await seen(project, user, USERS) == {mine}
        assert await seen(project, user, STORES) == set()
    for store in stores:
        theirs = await order(project, store)
        assert await seen(project, store.member, STORES) == {theirs}
        assert await seen(project, store.member, USERS) == await seen(project, store.id, STORES) == set()
    for table in (USERS, STORES):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting("anon") as connection:
                await connection.fetch(f"select 1 from {table}")


async def test_a_user_asks_for_nobody_else_gives_no_state_and_changes_nothing(project: Project, owner: UUID) -> None:
    for columns in ({"user_id": uuid4()}, {"user_id": owner, "status": "completed"}, {"user_id": owner, "version": 7}):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting("authenticated", owner) as connection:
                await put(connection, USERS, **columns)
    store = await open_store(project)
    await speak(project, store.member)
    await order(project, store)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting("authenticated", store.member) as connection:
            await put(connection, STORES, store_id=store.id)
    for table in (USERS, STORES):
        for change in (f"update {table} set prompt = 'x'", f"delete from {table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with project.acting("authenticated", store.member) as connection:
                    await connection.execute(change)


async def objects(project: Project, user: UUID) -> set[str]:
    async with project.acting("authenticated", user) as connection:
        return {row["name"] for row in await connection.fetch("select name from storage.objects")}


async def test_clips_are_read_by_their_user_and_by_the_members_of_their_store_alone(project: Project) -> None:
    stores = [await open_store(project), await open_store(project)]
    for store in stores:
        for name in (f"{store.member}/{uuid4()}/video.mp4", f"{store.id}/generated/{uuid4()}/video.mp4"):
            await project.connection.execute(
                "insert into storage.objects (bucket_id, name) values ('videos', $1)", name
            )
    for store in stores:
        found = await objects(project, store.member)
        assert {name.split("/", 1)[0] for name in found} == {str(store.member), str(store.id)}
        assert len(found) == 2
        assert await objects(project, store.id) == set(), "the store's id is no user's"
        for folder in (store.member, store.id):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with project.acting("authenticated", store.member) as connection:
                    await connection.execute(
                        "insert into storage.objects (bucket_id, name) values ('videos', $1)", f"{folder}/x/video.mp4"
                    )


async def test_deleting_a_user_deletes_his_clips_and_refunds_what_is_open(project: Project, owner: UUID) -> None:
    other = uuid4()
    for user in (owner, other):
        await speak(project, user)
    assert await project.answer("forget_owner", p_owner=owner) == {"rows": 1, "characters": 0}
    assert await project.rows(f"select user_id from {USERS}") == [{"user_id": other}]
    assert await project.balance(owner) == 10
    assert await project.value("select status from listener.sessions where owner = $1", owner) == "cancelled"


async def test_the_buckets_of_clips_and_uploads_take_what_avatars_need_and_no_more(project: Project) -> None:
    found = await project.rows(
        "select id, public, file_size_limit as bytes, allowed_mime_types as types from storage.buckets "
        "where id in ('videos', 'uploads') order by id"
    )
    pictures = ["image/png", "image/jpeg", "image/webp"]
    sounds = ["audio/wav", "audio/x-wav", "audio/wave", "audio/mpeg", "audio/mp3"]
    assert found == [
        {"id": "uploads", "public": False, "bytes": 52428800, "types": pictures + sounds},
        {"id": "videos", "public": False, "bytes": 524288000, "types": ["video/mp4", "image/webp"]},
    ]

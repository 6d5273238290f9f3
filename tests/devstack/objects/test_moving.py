"""Promises of copying and moving objects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from storage3.exceptions import StorageApiError

from tests.devstack.objects.asking import AS_PNG, EXISTS, HIDDEN, OTHER, PNG, REFUSED, USER, Storage, said


async def test_a_copy_has_bytes_and_a_life_of_its_own(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("a.png", PNG, {**AS_PNG, "metadata": {"n": 1}, "cache-control": "60"})
    answer: Any = await bucket.copy("a.png", "b.png")
    before, after = await bucket.info("a.png"), await bucket.info("b.png")
    assert answer["Key"] == "gen/b.png"
    assert answer["Id"] == after["id"] != before["id"]
    assert (after["metadata"], after["cache_control"], after["etag"]) == ({"n": 1}, "max-age=60", before["etag"])
    await bucket.remove(["a.png"])
    assert await bucket.download("b.png") == PNG
    assert storage.files() == 1


async def test_nothing_is_copied_onto_what_exists_unless_told_to(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("a.png", PNG, AS_PNG)
    await bucket.upload("b.png", b"other", AS_PNG)
    with pytest.raises(StorageApiError) as taken:
        await bucket.copy("a.png", "b.png")
    assert said(taken) == EXISTS
    with pytest.raises(StorageApiError) as missing:
        await bucket.copy("nope.png", "c.png")
    assert said(missing) == HIDDEN
    body = {"bucketId": "gen", "sourceKey": "a.png", "destinationKey": "b.png"}
    assert (await storage.raw("POST", "/object/copy", json=body, headers={"x-upsert": "true"})).status_code == 200
    assert await bucket.download("b.png") == PNG
    assert storage.files() == 2


async def test_a_copy_may_be_told_apart_from_its_origin(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("a.png", PNG, {**AS_PNG, "metadata": {"n": 1}})
    body = {"bucketId": "gen", "sourceKey": "a.png", "destinationKey": "b.bin", "copyMetadata": False}
    metadata = {"mimetype": "application/x-own", "cacheControl": "max-age=5"}
    headers = {"x-metadata": "eyJrIjoidiJ9"}
    answer = await storage.raw("POST", "/object/copy", json={**body, "metadata": metadata}, headers=headers)
    assert answer.status_code == 200
    told = await bucket.info("b.bin")
    assert (told["content_type"], told["cache_control"], told["metadata"]) == (*metadata.values(), {"k": "v"})


async def test_a_move_keeps_the_object_and_frees_its_place(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("a.png", PNG, AS_PNG)
    before = await bucket.info("a.png")
    assert await bucket.move("a.png", "deep/b.png") == {"message": "Successfully moved"}
    after = await bucket.info("deep/b.png")
    assert (after["id"], after["created_at"], after["size"]) == (before["id"], before["created_at"], len(PNG))
    assert await bucket.download("deep/b.png") == PNG
    assert not await bucket.exists("a.png")
    assert await bucket.move("deep/b.png", "deep/b.png") == {"message": "Successfully moved"}
    assert storage.files() == 1


async def test_objects_move_and_copy_into_other_buckets(storage: Storage) -> None:
    await storage.service.create_bucket("second")
    await storage.service.from_("gen").upload("a.png", PNG, AS_PNG)
    body = {"bucketId": "gen", "sourceKey": "a.png", "destinationBucket": "second", "destinationKey": "b.png"}
    copied = await storage.raw("POST", "/object/copy", json=body)
    assert copied.json()["Key"] == "second/b.png"
    await storage.raw("POST", "/object/move", json={**body, "destinationKey": "c.png"})
    second = storage.service.from_("second")
    assert [await second.download(name) for name in ("b.png", "c.png")] == [PNG, PNG]
    nowhere = {**body, "bucketId": "second", "sourceKey": "b.png", "destinationBucket": "nope"}
    assert (await storage.raw("POST", "/object/copy", json=nowhere)).json()["code"] == "NoSuchBucket"
    moved = (await storage.raw("POST", "/object/move", json=nowhere)).json()
    assert (moved["statusCode"], moved["message"]) == ("404", "The related resource does not exist")


async def test_nothing_moves_onto_what_exists_or_from_nowhere(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("a.png", PNG, AS_PNG)
    await bucket.upload("b.png", b"other", AS_PNG)
    with pytest.raises(StorageApiError) as taken:
        await bucket.move("a.png", "b.png")
    assert said(taken) == EXISTS
    with pytest.raises(StorageApiError) as missing:
        await bucket.move("nope.png", "c.png")
    assert said(missing) == HIDDEN
    for route in ("copy", "move"):
        body = {"bucketId": "gen", "sourceKey": "a.png", "destinationKey": "../c.png"}
        assert (await storage.raw("POST", f"/object/{route}", json=body)).json()["code"] == "InvalidKey"
    assert [await bucket.download(name) for name in ("a.png", "b.png")] == [PNG, b"other"]
    assert storage.files() == 2


async def test_a_user_copies_what_he_reads_to_where_he_writes_and_moves_what_he_may_change(storage: Storage) -> None:
    mine, theirs = storage.user.from_("gen"), storage.service.from_("gen")
    await mine.upload(f"{USER}/a.png", PNG, AS_PNG)
    await theirs.upload(f"{OTHER}/x.png", PNG, AS_PNG)
    await mine.copy(f"{USER}/a.png", f"{USER}/b.png")
    for attempt in (mine.copy(f"{OTHER}/x.png", f"{USER}/x.png"), mine.move(f"{USER}/a.png", f"{USER}/c.png")):
        with pytest.raises(StorageApiError) as hidden:
            await attempt
        assert said(hidden) == HIDDEN  # not his to see; not his to change, as there is no policy for update
    with pytest.raises(StorageApiError) as refused:
        await mine.copy(f"{USER}/a.png", f"{OTHER}/a.png")
    assert said(refused) == REFUSED
    await storage.allow("update")
    await mine.move(f"{USER}/a.png", f"{USER}/c.png")
    with pytest.raises(StorageApiError) as outside:
        await mine.move(f"{USER}/c.png", f"{OTHER}/c.png")
    assert said(outside) == REFUSED
    assert storage.files() == 3


async def test_writers_and_movers_at_once_leave_no_bytes_without_a_row(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("k.png", PNG, AS_PNG)

    unexpected: list[str] = []

    async def tried(attempt: Any) -> None:
        try:
            await attempt
        except StorageApiError as error:
            if error.message not in (EXISTS[2], HIDDEN[2]):
                unexpected.append(error.message)

    again: Any = {**AS_PNG, "upsert": "true"}
    for _ in range(3):
        await asyncio.gather(
            *(tried(bucket.upload("k.png", bytes([number]) * 100_000, again)) for number in range(4)),
            tried(bucket.move("k.png", "m.png")),
            tried(bucket.move("m.png", "k.png")),
            tried(bucket.copy("k.png", "c.png")),
        )
    rows = await storage.database.fetch("select name, version, metadata ->> 'size' as size from storage.objects")
    kept = {path.name: path.stat().st_size for path in storage.folder.iterdir()}
    assert unexpected == []
    assert kept == {row["version"]: int(row["size"]) for row in rows}

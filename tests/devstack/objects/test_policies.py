"""Promises of policies on storage.objects: who may do what is the database's decision."""

from __future__ import annotations

import pytest
from storage3.exceptions import StorageApiError

from tests.devstack.objects.asking import AS_PNG, HIDDEN, OTHER, PNG, REFUSED, USER, Storage, said


async def test_a_user_reaches_his_own_folder_and_no_other(storage: Storage) -> None:
    mine, theirs = storage.user.from_("gen"), storage.service.from_("gen")
    await theirs.upload(f"{OTHER}/x.png", PNG, AS_PNG)
    await mine.upload(f"{USER}/x.png", PNG, AS_PNG)
    assert await mine.download(f"{USER}/x.png") == PNG
    for attempt in (mine.download(f"{OTHER}/x.png"), mine.create_signed_url(f"{OTHER}/x.png", 60)):
        with pytest.raises(StorageApiError) as hidden:
            await attempt
        assert said(hidden) == HIDDEN
    with pytest.raises(StorageApiError) as refused:
        await mine.upload(f"{OTHER}/y.png", PNG, AS_PNG)
    assert said(refused) == REFUSED
    assert await mine.list(OTHER) == []
    assert [one.name for one in (await mine.list_v2({})).objects] == [f"{USER}/x.png"]
    assert storage.files() == 2


async def test_replacing_takes_a_policy_for_update_and_removing_one_for_delete(storage: Storage) -> None:
    mine = storage.user.from_("gen")
    await mine.upload(f"{USER}/x.png", PNG, AS_PNG)
    with pytest.raises(StorageApiError) as refused:
        await mine.upload(f"{USER}/x.png", b"other", {**AS_PNG, "upsert": "true"})
    assert said(refused) == REFUSED
    assert await mine.remove([f"{USER}/x.png"]) == []
    assert await mine.download(f"{USER}/x.png") == PNG
    await storage.allow("update")
    await storage.allow("delete")
    await mine.upload(f"{USER}/x.png", b"other", {**AS_PNG, "upsert": "true"})
    assert await mine.download(f"{USER}/x.png") == b"other"
    assert [one["name"] for one in await mine.remove([f"{USER}/x.png"])] == [f"{USER}/x.png"]
    assert storage.files() == 0


async def test_a_refused_upload_is_refused_before_its_bytes_are_read(storage: Storage) -> None:
    with pytest.raises(StorageApiError) as refused:
        await storage.user.from_("gen").upload(f"{OTHER}/big.png", b"x" * (51 * 1024 * 1024), AS_PNG)
    assert said(refused) == REFUSED


async def test_an_upload_needs_no_right_to_read(storage: Storage) -> None:
    await storage.database.execute("drop policy may_select on storage.objects")
    mine = storage.user.from_("gen")
    await mine.upload(f"{USER}/x.png", PNG, AS_PNG)
    with pytest.raises(StorageApiError) as refused:
        await mine.upload(f"{USER}/new.png", PNG, {**AS_PNG, "upsert": "true"})
    assert said(refused) == REFUSED
    assert not await mine.exists(f"{USER}/x.png")


async def test_the_uploader_owns_what_he_uploads_and_the_service_owns_nothing(storage: Storage) -> None:
    await storage.user.from_("gen").upload(f"{USER}/x.png", PNG, AS_PNG)
    await storage.service.from_("gen").upload("y.png", PNG, AS_PNG)
    rows = await storage.database.fetch("select owner::text, owner_id from storage.objects order by name")
    assert [tuple(row) for row in rows] == [(USER, USER), (None, None)]


async def test_a_policy_may_ask_what_the_request_does(storage: Storage) -> None:
    await storage.database.execute("""
    drop policy may_select on storage.objects;
    create policy signs on storage.objects for select to authenticated using (
      storage.allow_only_operation('object.sign') and current_setting('request.method') = 'POST'
      and current_setting('request.headers')::jsonb ? 'authorization'
    );
    """)
    mine = storage.user.from_("gen")
    await mine.upload(f"{USER}/x.png", PNG, AS_PNG)
    assert (await mine.create_signed_url(f"{USER}/x.png", 60))["signedURL"]
    with pytest.raises(StorageApiError):
        await mine.download(f"{USER}/x.png")
    assert await mine.list(USER) == []
    assert await storage.database.fetchval("select storage.operation()") is None


async def test_what_a_policy_raises_is_the_databases_error(storage: Storage) -> None:
    await storage.database.execute("""
    create policy broken on storage.objects for select to authenticated using (1 / (length(name) - length(name)) = 1)
    """)
    await storage.service.from_("gen").upload("x.png", PNG, AS_PNG)
    answer = await storage.http.get("/object/gen/x.png", headers=storage.token("authenticated"))
    assert (answer.status_code, answer.json()["message"]) == (500, "database error, code: 22012")

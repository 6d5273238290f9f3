"""Promises of buckets."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from storage3.exceptions import StorageApiError

from tests.devstack.objects.asking import AS_PNG, PNG, Storage, said


async def test_buckets_are_made_changed_and_deleted_when_empty(storage: Storage) -> None:
    service = storage.service
    for name, code in (("gen", "Duplicate"), ("a/b", "Invalid Input"), ("x" * 101, "Invalid Input")):
        with pytest.raises(StorageApiError) as refused:
            await service.create_bucket(name)
        assert refused.value.code == code
    await service.update_bucket("gen", {"file_size_limit": 2000})
    assert (await service.get_bucket("gen")).file_size_limit == 2000
    await service.from_("gen").upload("a.png", PNG, AS_PNG)
    with pytest.raises(StorageApiError) as full:
        await service.delete_bucket("gen")
    assert said(full) == ("409", "ResourceNotEmpty", "The bucket you tried to delete is not empty")
    await service.empty_bucket("gen")
    assert storage.files() == 0
    await service.delete_bucket("gen")
    for attempt in (service.get_bucket("gen"), service.delete_bucket("gen"), service.empty_bucket("gen")):
        with pytest.raises(StorageApiError) as gone:
            await attempt
        assert said(gone)[0] == "404"


async def test_a_bucket_has_a_name_beside_its_id(storage: Storage) -> None:
    answer = await storage.raw("POST", "/bucket", json={"id": "short", "name": "A longer name"})
    assert answer.json() == {"name": "A longer name"}
    assert (await storage.raw("GET", "/bucket/short")).json()["name"] == "A longer name"


@pytest.mark.parametrize(
    ("limit", "size_bytes"), [("1MB", 1_000_000), ("1.5kb", 1500), ("20B", 20), (0, 0), ("300", 300), (None, None)]
)
async def test_a_size_may_be_said_in_words(storage: Storage, limit: Any, size_bytes: int | None) -> None:
    answer = await storage.raw("POST", "/bucket", json={"name": "sized", "file_size_limit": limit})
    assert answer.status_code == 200, answer.text
    assert (await storage.raw("GET", "/bucket/sized")).json()["file_size_limit"] == size_bytes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"file_size_limit": "many"}, "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B"),
        ({"file_size_limit": "1GB"}, "The object exceeded the maximum allowed size"),
        ({"allowed_mime_types": ["image"]}, "mime type image is not supported"),
        ({"allowed_mime_types": {"a": 1}}, "body/allowed_mime_types must be array"),
        ({"public": "perhaps"}, "body/public must be boolean"),
        ({"type": "ANALYTICS"}, "body/type must be equal to one of the allowed values"),
    ],
)
async def test_a_bucket_with_wrong_limits_is_not_made(storage: Storage, fields: Any, message: str) -> None:
    answer = await storage.raw("POST", "/bucket", json={"name": "wrong", **fields})
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert (await storage.raw("GET", "/bucket/wrong")).json()["code"] == "NoSuchBucket"


async def test_a_limit_of_nothing_takes_nothing(storage: Storage) -> None:
    await storage.service.create_bucket("closed", options={"file_size_limit": 0})
    assert (await storage.raw("POST", "/object/closed/a", content=b"x")).json()["code"] == "EntityTooLarge"


async def test_the_list_of_buckets_can_be_sorted_searched_and_cut(storage: Storage) -> None:
    for name in ("list-b", "list-c", "list-a"):
        await storage.service.create_bucket(name)

    async def names(query: str) -> list[str]:
        return [bucket["name"] for bucket in (await storage.raw("GET", f"/bucket?{query}")).json()]

    assert await names("search=LIST-") == ["list-b", "list-c", "list-a"]
    assert await names("search=list-&sortColumn=name&sortOrder=desc") == ["list-c", "list-b", "list-a"]
    assert await names("search=list-&sortColumn=name&limit=1&offset=1") == ["list-b"]
    wrong = await storage.raw("GET", "/bucket?sortColumn=secret")
    assert wrong.json()["message"] == "querystring/sortColumn must be equal to one of the allowed values"


async def test_users_see_and_make_only_the_buckets_that_policies_give_them(storage: Storage) -> None:
    headers = storage.token("authenticated")
    assert (await storage.http.get("/bucket", headers=headers)).json() == []
    refused = await storage.http.post("/bucket", headers=headers, json={"name": "mine"})
    assert refused.json()["code"] == "AccessDenied"
    await storage.database.execute("create policy see on storage.buckets for select to authenticated using (true)")
    assert "gen" in [bucket["id"] for bucket in (await storage.http.get("/bucket", headers=headers)).json()]


async def test_sql_cannot_delete_rows_whose_bytes_would_stay(storage: Storage) -> None:
    await storage.service.from_("gen").upload("a.png", PNG, AS_PNG)
    for table in ("objects", "buckets"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Use the Storage API instead"):
            await storage.database.execute(f"delete from storage.{table}")
    with pytest.raises(asyncpg.RaiseError, match="is too long"):
        await storage.database.execute("insert into storage.buckets (id, name) values ('x', repeat('x', 101))")

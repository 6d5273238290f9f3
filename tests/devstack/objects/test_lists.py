"""Promises of the two lists, and of removing what they show."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from storage3.exceptions import StorageApiError

from tests.devstack.objects.asking import AS_PNG, PNG, USER, Storage

KEYS = ("root.bin", "u/s1/out-0.png", "u/s1/out-1.png", "u/s1/io.bin", "u/s2/x.png")


async def _fill(storage: Storage, *keys: str) -> None:
    for key in keys:
        await storage.service.from_("gen").upload(key, PNG, AS_PNG)


async def test_a_folder_lists_its_files_and_folders(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await _fill(storage, *KEYS)
    assert [(entry["name"], entry["id"] is None) for entry in await bucket.list()] == [("root.bin", False), ("u", True)]
    assert [entry["name"] for entry in await bucket.list("u")] == ["s1", "s2"]
    options: Any = {"limit": 2, "sortBy": {"column": "name", "order": "desc"}, "search": "out"}
    found = await bucket.list("u/s1", options)
    assert [entry["name"] for entry in found] == ["out-1.png", "out-0.png"]
    assert found[0]["metadata"]["size"] == len(PNG)
    assert await bucket.list("nothing/here") == []
    assert await storage.service.from_("nope").list() == []
    with pytest.raises(StorageApiError, match="body/sortBy/column"):
        await bucket.list("u", {"sortBy": {"column": "bogus; drop table x", "order": "desc"}})


async def test_a_folder_is_listed_in_pages(storage: Storage) -> None:
    await _fill(storage, "b.png", "A.png", "c/1.png", "c/2.png", "d.png")
    bucket = storage.service.from_("gen")
    pages = [await bucket.list("", {"limit": 2, "offset": offset}) for offset in (0, 2, 4)]
    assert [[entry["name"] for entry in page] for page in pages] == [["A.png", "b.png"], ["c", "d.png"], []]


async def test_by_time_the_folders_come_first(storage: Storage) -> None:
    await _fill(storage, "first.png", "z/x.png", "second.png")
    newest = await storage.service.from_("gen").list("", {"sortBy": {"column": "created_at", "order": "desc"}})
    assert [entry["name"] for entry in newest] == ["z", "second.png", "first.png"]


async def test_a_search_may_go_on_into_folders(storage: Storage) -> None:
    await _fill(storage, "u/s1/a.png", "u/s2/b.png", "u/other.png")
    found = await storage.service.from_("gen").list("", {"search": "u/S"})
    assert [entry["name"] for entry in found] == ["u/s1", "u/s2"]


async def test_a_prefix_without_a_slash_is_the_folder_and_not_its_neighbours(storage: Storage) -> None:
    await _fill(storage, "ab/1.png", "abc/2.png")
    assert [entry["name"] for entry in await storage.service.from_("gen").list("ab")] == ["1.png"]


async def test_the_second_list_gives_whole_names_page_by_page(storage: Storage) -> None:
    await _fill(storage, *KEYS)
    bucket, names, cursor = storage.service.from_("gen"), [], ""
    while True:
        page = await bucket.list_v2({"limit": 2, "prefix": "u/", **({"cursor": cursor} if cursor else {})})
        names += [one.name for one in page.objects]
        if not page.hasNext:
            break
        cursor = str(page.nextCursor)
    assert names == ["u/s1/io.bin", "u/s1/out-0.png", "u/s1/out-1.png", "u/s2/x.png"]
    assert page.nextCursor is None


async def test_the_second_list_tells_folders_apart_when_asked(storage: Storage) -> None:
    await _fill(storage, *KEYS, "v.png")
    bucket = storage.service.from_("gen")
    first = await bucket.list_v2({"with_delimiter": True, "limit": 2})
    assert ([one.name for one in first.objects], [one.name for one in first.folders]) == (["root.bin"], ["u/"])
    rest = await bucket.list_v2({"with_delimiter": True, "cursor": str(first.nextCursor)})
    assert ([one.name for one in rest.objects], rest.folders, rest.hasNext) == (["v.png"], [], False)


async def test_the_cursor_keeps_the_order_of_the_first_page(storage: Storage) -> None:
    await _fill(storage, "c.png", "a.png", "b.png")
    bucket = storage.service.from_("gen")
    by_time: Any = {"limit": 1, "sortBy": {"column": "created_at", "order": "desc"}}
    by_name: Any = {"limit": 1, "sortBy": {"column": "name", "order": "desc"}}
    for options, expected in ((by_time, ["b.png", "a.png", "c.png"]), (by_name, ["c.png", "b.png", "a.png"])):
        first = await bucket.list_v2(options)
        rest = await bucket.list_v2({"cursor": str(first.nextCursor)})
        assert [one.name for one in (*first.objects, *rest.objects)] == expected


async def test_a_cursor_that_nobody_gave_out_is_refused(storage: Storage) -> None:
    for text in ("x:1", "c:bogus", "no cursor"):
        cursor = base64.b64encode(text.encode()).decode()
        for sent in (cursor, text):
            answer = await storage.raw("POST", "/object/list-v2/gen", json={"cursor": sent})
            assert (answer.status_code, answer.json()["message"]) == (400, "Invalid Parameter continuation token")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "body must have required property 'prefix'"),
        ({"prefix": "", "limit": 0}, "body/limit must be >= 1"),
        ({"prefix": "", "limit": "ten"}, "body/limit must be integer"),
        ({"prefix": "", "offset": -1}, "body/offset must be >= 0"),
        ({"prefix": ["a"]}, "body/prefix must be string"),
        ({"prefix": "", "sortBy": {}}, "body/sortBy must have required property 'column'"),
        ({"prefix": "", "sortBy": "name"}, "body/sortBy must be object"),
    ],
)
async def test_a_list_says_what_is_wrong_with_its_request(storage: Storage, body: Any, message: str) -> None:
    answer = await storage.raw("POST", "/object/list/gen", json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, message)


async def test_a_body_counts_only_when_it_is_declared_to_be_json(storage: Storage) -> None:
    for headers, content, message in (
        ({}, b'{"prefix":""}', "body must be object"),
        ({"Content-Type": "text/plain"}, b'{"prefix":""}', "body must be object"),
        ({"Content-Type": "application/json"}, b"[]", "body must be object"),
        (
            {"Content-Type": "application/json"},
            b"",
            "Body cannot be empty when content-type is set to 'application/json'",
        ),
    ):
        answer = await storage.raw("POST", "/object/list/gen", headers=headers, content=content)
        assert (answer.status_code, answer.json()["message"]) == (400, message)


async def test_what_is_removed_is_gone_with_its_bytes(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await _fill(storage, "a.png", f"{USER}/b.png")
    removed = await bucket.remove(["a.png", "nope.png", "a.png"])
    assert [one["name"] for one in removed] == ["a.png"]
    assert storage.files() == 1
    with pytest.raises(StorageApiError, match="must NOT have fewer than 1 items"):
        await bucket.remove([])
    assert (await storage.raw("DELETE", f"/object/gen/{USER}/b.png")).json() == {"message": "Successfully deleted"}
    assert (await storage.raw("DELETE", f"/object/gen/{USER}/b.png")).json()["code"] == "NoSuchKey"
    assert storage.files() == 0

"""Promises of uploads; errors as recorded from supabase/storage v1.70.6."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from storage3.exceptions import StorageApiError

from tests.devstack.objects.asking import AS_PNG, EXISTS, PNG, USER, Storage, said


async def test_what_is_uploaded_comes_back(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    answer = await bucket.upload(f"{USER}/a.png", PNG, AS_PNG)
    assert answer.full_path == f"gen/{USER}/a.png"
    assert await bucket.download(f"{USER}/a.png") == PNG
    assert await bucket.exists(f"{USER}/a.png")
    assert not await bucket.exists(f"{USER}/b.png")
    told = await bucket.info(f"{USER}/a.png")
    assert (told["size"], told["content_type"], told["cache_control"]) == (len(PNG), "image/png", "max-age=3600")


async def test_an_existing_key_is_kept_unless_replacing_was_asked_for(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("k.png", PNG, AS_PNG)
    with pytest.raises(StorageApiError) as refused:
        await bucket.upload("k.png", b"other", AS_PNG)
    assert said(refused) == EXISTS
    assert await bucket.download("k.png") == PNG
    before = await bucket.info("k.png")
    await bucket.upload("k.png", b"newer", {**AS_PNG, "upsert": "true"})
    after = await bucket.info("k.png")
    assert await bucket.download("k.png") == b"newer"
    assert (before["id"], before["created_at"]) == (after["id"], after["created_at"])
    assert before["version"] != after["version"]
    await bucket.update("fresh.png", PNG, AS_PNG)
    assert storage.files() == 2, "a replaced or refused upload left its bytes behind"


async def test_an_upload_that_may_not_replace_is_no_lock(storage: Storage) -> None:
    async def upload(number: int) -> str:
        try:
            await storage.service.from_("gen").upload("race.bin", bytes([number]) * 400_000, AS_PNG)
        except StorageApiError as error:
            return error.message
        return "stored"

    outcomes = await asyncio.gather(*(upload(number) for number in range(8)))
    assert set(outcomes) <= {"stored", "The resource already exists"}
    assert "stored" in outcomes
    left = await storage.service.from_("gen").download("race.bin")
    assert outcomes[left[0]] == "stored"
    assert left == bytes([left[0]]) * 400_000
    assert storage.files() == 1, "one of the writers left its bytes behind"


async def test_a_refused_upload_leaves_its_connection_in_order(storage: Storage) -> None:
    await storage.raw("POST", "/object/gen/k.bin", content=b"x")
    for _ in range(2):
        refused = await storage.raw("POST", "/object/gen/k.bin", content=b"x" * 400_000)
        assert refused.json()["code"] == "KeyAlreadyExists"
        assert (await storage.raw("GET", "/object/gen/k.bin")).content == b"x"


async def test_a_raw_body_is_an_upload_too(storage: Storage) -> None:
    headers = {"Content-Type": "image/png", "Cache-Control": "max-age=60", "x-metadata": "eyJrIjoidiJ9"}
    answer = await storage.raw("POST", "/object/gen/raw/a.png", content=PNG, headers=headers)
    assert answer.status_code == 200
    assert set(answer.json()) == {"Key", "Id"}
    info = (await storage.raw("GET", "/object/info/gen/raw/a.png")).json()
    assert (info["cache_control"], info["metadata"]) == ("max-age=60", {"k": "v"})


async def test_the_parts_of_a_form_may_come_in_any_order(storage: Storage) -> None:
    for name, field in (("py", "file"), ("js", "")):
        form = [(field, ("blob", PNG, "image/png")), ("cacheControl", (None, b"77")), ("metadata", (None, b'{"n":1}'))]
        answer = await storage.raw("POST", f"/object/gen/{name}.png", files=form)
        assert answer.status_code == 200, answer.text
        info = (await storage.raw("GET", f"/object/info/gen/{name}.png")).json()
        assert (info["cache_control"], info["metadata"], info["size"]) == ("max-age=77", {"n": 1}, len(PNG))
    answer = await storage.raw("POST", "/object/gen/no.png", files=[("cacheControl", (None, b"1"))])
    assert answer.json()["message"] == "No content provided"


async def test_metadata_of_more_than_a_mebibyte_is_refused(storage: Storage) -> None:
    form = [("metadata", (None, b"x" * (1024 * 1024 + 1))), ("file", ("a.png", PNG, "image/png"))]
    for parts in (form, form[::-1]):
        answer = await storage.raw("POST", "/object/gen/a.png", files=parts)
        assert answer.json()["message"] == "The user_metadata exceeded the maximum allowed size"
    assert storage.files() == 0


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=X", b""),
        ("multipart/form-data; boundary=X", b"garbage"),
        ("multipart/form-data; boundary=X", b"--X\r\nno header\r\n\r\n"),
        ("multipart/form-data; boundary=X", b"--X\r\nContent-Disposition: form-data; filename=a\r\n\r\ncut off"),
    ],
)
async def test_a_broken_form_stores_nothing(storage: Storage, kind: str, body: bytes) -> None:
    answer = await storage.raw("POST", "/object/gen/a.bin", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["message"]) == (400, "No content provided")
    assert storage.files() == 0


async def test_an_upload_that_breaks_off_stores_nothing(storage: Storage) -> None:
    url = httpx.URL(storage.stack.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = "POST /storage/v1/object/gen/half.bin HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
    writer.write(f"{head}Authorization: {storage.token()['Authorization']}\r\n\r\n".encode() + b"x" * 500_000)
    await _until(lambda: storage.files() == 1)
    writer.close()
    await _until(lambda: storage.files() == 0)
    assert await storage.service.from_("gen").list() == []


async def _until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not seen():
            await asyncio.sleep(0.01)


async def test_a_bucket_refuses_what_it_does_not_take(storage: Storage) -> None:
    limits: Any = {"file_size_limit": 100, "allowed_mime_types": ["image/png", "video/*"]}
    await storage.service.create_bucket("tiny", options=limits)
    bucket = storage.service.from_("tiny")
    await bucket.upload("ok.mp4", b"x" * 100, {"content-type": "video/mp4"})
    with pytest.raises(StorageApiError) as large:
        await bucket.upload("large.png", b"x" * 101, AS_PNG)
    assert said(large) == ("413", "Payload too large", "The object exceeded the maximum allowed size")
    for kind in ("text/plain", "image/png; charset=utf-8"):
        with pytest.raises(StorageApiError) as refused:
            await bucket.upload("kind.png", b"x", {"content-type": kind})
        assert said(refused) == ("415", "invalid_mime_type", f"mime type {kind} is not supported")
    with pytest.raises(StorageApiError) as missing:
        await storage.service.from_("nope").upload("a.png", PNG, AS_PNG)
    assert said(missing) == ("404", "Bucket not found", "Bucket not found")
    assert storage.files() == 1


async def test_the_file_that_stands_for_a_folder_is_taken_by_every_bucket_but_must_be_empty(storage: Storage) -> None:
    await storage.service.create_bucket("pictures", options={"allowed_mime_types": ["image/*"]})
    for content, status in ((b"", 200), (b"x", 400)):
        path, headers = "/object/pictures/f/.emptyFolderPlaceholder", {"x-upsert": "true"}
        answer = await storage.raw("POST", path, content=content, headers=headers)
        assert answer.status_code == status, answer.text


async def test_no_key_leads_out_of_the_folder(storage: Storage) -> None:
    keys = ("a/%2e%2e/b.png", "..%2f..%2fevil.png", "%252e%252e/evil.png", "a%5Cb.png", "a%00b.png", "caf%C3%A9.png")
    for key in keys:
        answer = await storage.raw("POST", f"/object/gen/{key}", content=PNG)
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidKey"), key
    for key in ("folder//lead.png", "a b+c&d=e,f.png", ".../x.png", "s/"):
        answer = await storage.raw("POST", f"/object/gen/{key}", content=PNG)
        assert answer.status_code == 200, key
    names = {path.name for path in storage.folder.iterdir()}
    assert len(names) == 4
    assert not any("." in name or "png" in name for name in names)


async def test_encoded_bytes_are_refused_as_they_would_be_served_decoded(storage: Storage) -> None:
    encoded = await storage.raw(
        "POST", "/object/gen/a.txt", content=gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"}
    )
    form = [("contentEncoding", (None, b"gzip")), ("", ("blob", gzip.compress(b"hello"), "text/plain"))]
    for answer in (encoded, await storage.raw("POST", "/object/gen/a.txt", files=form)):
        assert answer.json()["message"] == "headers/content-encoding is not supported"
    assert storage.files() == 0

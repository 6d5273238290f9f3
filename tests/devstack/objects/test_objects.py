"""Promises of Storage, asked by the official client; errors as recorded from supabase/storage v1.70.6."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError

from devstack.stack import Stack

USER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
PNG = b"\x89PNG\r\n\x1a\n and some more"
AS_PNG: Any = {"content-type": "image/png"}
POLICIES = """
create policy gen_read on storage.objects for select to authenticated
  using (bucket_id = 'gen' and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy gen_write on storage.objects for insert to authenticated
  with check (bucket_id = 'gen' and (storage.foldername(name))[1] = (select auth.uid())::text);
"""


@dataclass
class Storage:
    """The official client as the service and as a user, and raw requests beside it."""

    service: AsyncStorageClient
    user: AsyncStorageClient
    http: httpx.AsyncClient
    stack: Stack
    folder: Path

    def files(self) -> int:
        return len(list(self.folder.iterdir()))


@pytest.fixture
async def storage(stack: Stack, connection: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[Storage]:
    await connection.execute(POLICIES)
    url = f"{stack.url}/storage/v1"
    user = stack.keys.mint({"role": "authenticated", "sub": USER}, 3600)
    async with httpx.AsyncClient() as one, httpx.AsyncClient() as two, httpx.AsyncClient(base_url=url) as raw:

        def client(token: str, http: httpx.AsyncClient) -> AsyncStorageClient:
            headers = {"Authorization": f"Bearer {token}", "apiKey": stack.keys.anon_key}
            return AsyncStorageClient(f"{url}/", headers, http_client=http)

        service = client(stack.keys.service_role_key, one)
        await service.create_bucket("gen", options={"public": False})
        yield Storage(service, client(user, two), raw, stack, tmp_path)


def _said(error: pytest.ExceptionInfo[StorageApiError]) -> tuple[str, str, str]:
    return str(error.value.status), str(error.value.code), error.value.message


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
    assert _said(refused) == ("409", "Duplicate", "The resource already exists")
    assert await bucket.download("k.png") == PNG
    before = await bucket.info("k.png")
    await bucket.upload("k.png", b"newer", {**AS_PNG, "upsert": "true"})
    after = await bucket.info("k.png")
    assert await bucket.download("k.png") == b"newer"
    assert (before["id"], before["created_at"]) == (after["id"], after["created_at"])
    assert before["version"] != after["version"]
    await bucket.update("fresh.png", PNG, AS_PNG)
    assert storage.files() == 2, "a replaced or refused upload left its bytes behind"


async def test_a_raw_body_is_an_upload_too(storage: Storage) -> None:
    token = {"Authorization": f"Bearer {storage.stack.keys.service_role_key}"}
    headers = {**token, "Content-Type": "image/png", "Cache-Control": "max-age=60", "x-metadata": "eyJrIjoidiJ9"}
    answer = await storage.http.post("/object/gen/raw/a.png", content=PNG, headers=headers)
    assert answer.status_code == 200
    assert set(answer.json()) == {"Key", "Id"}
    info = (await storage.http.get("/object/info/gen/raw/a.png", headers=token)).json()
    assert (info["cache_control"], info["metadata"]) == ("max-age=60", {"k": "v"})


async def test_the_parts_of_a_form_may_come_in_any_order(storage: Storage) -> None:
    token = {"Authorization": f"Bearer {storage.stack.keys.service_role_key}"}
    for name, field in (("py", "file"), ("js", "")):
        form = [(field, ("blob", PNG, "image/png")), ("cacheControl", (None, b"77")), ("metadata", (None, b'{"n":1}'))]
        answer = await storage.http.post(f"/object/gen/{name}.png", files=form, headers=token)
        assert answer.status_code == 200, answer.text
        info = (await storage.http.get(f"/object/info/gen/{name}.png", headers=token)).json()
        assert (info["cache_control"], info["metadata"], info["size"]) == ("max-age=77", {"n": 1}, len(PNG))
    answer = await storage.http.post("/object/gen/no.png", files=[("cacheControl", (None, b"1"))], headers=token)
    assert answer.json()["message"] == "No content provided"


async def test_a_bucket_refuses_what_it_does_not_take(storage: Storage) -> None:
    limits: Any = {"file_size_limit": 100, "allowed_mime_types": ["image/png", "video/*"]}
    await storage.service.create_bucket("tiny", options=limits)
    bucket = storage.service.from_("tiny")
    await bucket.upload("ok.mp4", b"x" * 100, {"content-type": "video/mp4"})
    with pytest.raises(StorageApiError) as large:
        await bucket.upload("large.png", b"x" * 101, AS_PNG)
    assert _said(large) == ("413", "Payload too large", "The object exceeded the maximum allowed size")
    for kind in ("text/plain", "image/png; charset=utf-8"):
        with pytest.raises(StorageApiError) as refused:
            await bucket.upload("kind.png", b"x", {"content-type": kind})
        assert _said(refused) == ("415", "invalid_mime_type", f"mime type {kind} is not supported")
    with pytest.raises(StorageApiError) as missing:
        await storage.service.from_("nope").upload("a.png", PNG, AS_PNG)
    assert _said(missing) == ("404", "Bucket not found", "Bucket not found")
    assert storage.files() == 1


async def test_no_key_leads_out_of_the_folder(storage: Storage) -> None:
    token = {"Authorization": f"Bearer {storage.stack.keys.service_role_key}", "Content-Type": "image/png"}
    for key in (
        "a/%2e%2e/b.png",
        "..%2f..%2fevil.png",
        "%252e%252e/evil.png",
        "a%5Cb.png",
        "a%00b.png",
        "caf%C3%A9.png",
    ):
        answer = await storage.http.post(f"/object/gen/{key}", content=PNG, headers=token)
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidKey"), key
    for key in ("folder//lead.png", "a b+c&d=e,f.png", ".../x.png", "s/"):
        answer = await storage.http.post(f"/object/gen/{key}", content=PNG, headers=token)
        assert answer.status_code == 200, key
    names = {path.name for path in storage.folder.iterdir()}
    assert len(names) == 4
    assert not any("." in name or "png" in name for name in names)


async def test_a_signed_url_reads_one_object_for_a_while(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("u/s.png", PNG, AS_PNG)
    await bucket.upload("u/t.png", PNG, AS_PNG)
    url = (await bucket.create_signed_url("u/s.png", 60))["signedURL"]
    assert url.startswith(f"{storage.stack.url}/storage/v1/object/sign/gen/u/s.png?token=")
    answer = await storage.http.get(url)
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, PNG, "image/png")
    assert "Cache-Control" not in answer.headers
    tagged = {"If-None-Match": answer.headers["ETag"]}
    assert (await storage.http.get(url, headers=tagged)).status_code == 304
    head = await storage.http.head(url)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(PNG)))
    part = await storage.http.get(url, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, PNG[:4])
    assert part.headers["Content-Range"] == f"bytes 0-3/{len(PNG)}"
    beyond = await storage.http.get(url, headers={"Range": "bytes=99999-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "InvalidRange")
    named = await storage.http.get(f"{url}&download=my+cat.png")
    disposition = "attachment; filename=my%20cat.png; filename*=UTF-8''my%20cat.png"
    assert named.headers["Content-Disposition"] == disposition


async def test_a_wrong_signature_reads_nothing(storage: Storage) -> None:
    bucket, keys = storage.service.from_("gen"), storage.stack.keys
    await bucket.upload("u/s.png", PNG, AS_PNG)
    url = (await bucket.create_signed_url("u/s.png", 60))["signedURL"]
    path, _, token = url.partition("?token=")
    ended = keys.mint({"url": "gen/u/s.png"}, -5)
    upload = keys.mint({"url": "gen/u/s.png", "scope": "upload", "upsert": False}, 60)
    cases = [
        (f"{path}?token={token[:-4]}AAAA", "InvalidJWT", "signature verification failed"),
        (f"{path}?token=garbage", "InvalidJWT", "Invalid Compact JWS"),
        (f"{path}?token=", "InvalidJWT", "Invalid Compact JWS"),
        (path, "InvalidRequest", "querystring must have required property 'token'"),
        (f"{path}?token={ended}", "InvalidJWT", '"exp" claim timestamp check failed'),
        (f"{path}?token={keys.service_role_key}", "InvalidSignature", "Invalid signature"),
        (f"{path}?token={upload}", "InvalidSignature", "Token is not scoped for download"),
        (url.replace("s.png", "t.png"), "InvalidSignature", "Invalid signature"),
    ]
    for asked, code, message in cases:
        answer = await storage.http.get(asked)
        assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (400, code, message)
    await bucket.remove(["u/s.png"])
    assert (await storage.http.get(url)).json()["code"] == "NoSuchKey"


async def test_many_are_signed_at_once_and_the_missing_ones_named(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("a.png", PNG, AS_PNG)
    signed = await bucket.create_signed_urls(["a.png", "nope.png"], 60)
    assert signed[0]["error"] is None
    assert (await storage.http.get(signed[0]["signedURL"])).content == PNG
    assert signed[1]["error"] == "Either the object does not exist or you do not have access to it"
    with pytest.raises(StorageApiError) as missing:
        await bucket.create_signed_url("nope.png", 60)
    assert _said(missing) == ("404", "not_found", "Object not found")
    with pytest.raises(StorageApiError, match="body/expiresIn must be >= 1"):
        await bucket.create_signed_url("a.png", 0)


async def test_a_user_reaches_his_own_folder_and_no_other(storage: Storage) -> None:
    mine, theirs = storage.user.from_("gen"), storage.service.from_("gen")
    await theirs.upload(f"{OTHER}/x.png", PNG, AS_PNG)
    await mine.upload(f"{USER}/x.png", PNG, AS_PNG)
    assert await mine.download(f"{USER}/x.png") == PNG
    for attempt in (mine.download(f"{OTHER}/x.png"), mine.create_signed_url(f"{OTHER}/x.png", 60)):
        with pytest.raises(StorageApiError) as hidden:
            await attempt
        assert _said(hidden)[0] == "404"
    with pytest.raises(StorageApiError) as refused:
        await mine.upload(f"{OTHER}/y.png", PNG, AS_PNG)
    assert _said(refused) == ("403", "Unauthorized", "new row violates row-level security policy")
    with pytest.raises(StorageApiError):
        await mine.upload(f"{USER}/x.png", b"other", {**AS_PNG, "upsert": "true"})  # there is no policy for update
    assert await mine.list(OTHER) == []
    assert await mine.remove([f"{USER}/x.png", f"{OTHER}/x.png"]) == []  # nor for delete
    assert storage.files() == 2


async def test_a_folder_lists_its_files_and_folders(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    for key in ("root.bin", "u/s1/out-0.png", "u/s1/out-1.png", "u/s1/io.bin", "u/s2/x.png"):
        await bucket.upload(key, PNG, AS_PNG)
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


async def test_what_is_removed_is_gone_with_its_bytes(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("a.png", PNG, AS_PNG)
    removed = await bucket.remove(["a.png", "nope.png"])
    assert [one["name"] for one in removed] == ["a.png"]
    assert storage.files() == 0
    with pytest.raises(StorageApiError, match="must NOT have fewer than 1 items"):
        await bucket.remove([])


async def test_buckets_are_made_changed_and_deleted_when_empty(storage: Storage) -> None:
    service = storage.service
    for name, code in (("gen", "Duplicate"), ("a/b", "Invalid Input")):
        with pytest.raises(StorageApiError) as refused:
            await service.create_bucket(name)
        assert refused.value.code == code
    await service.update_bucket("gen", {"file_size_limit": 2000})
    assert (await service.get_bucket("gen")).file_size_limit == 2000
    await service.from_("gen").upload("a.png", PNG, AS_PNG)
    with pytest.raises(StorageApiError) as full:
        await service.delete_bucket("gen")
    assert _said(full)[0] == "409"
    await service.empty_bucket("gen")
    assert storage.files() == 0
    await service.delete_bucket("gen")
    with pytest.raises(StorageApiError) as gone:
        await service.get_bucket("gen")
    assert _said(gone)[0] == "404"


async def test_tokens_are_refused_in_storages_own_words(storage: Storage) -> None:
    keys = storage.stack.keys
    cases = [
        (None, "400", "headers must have required property 'authorization'"),
        ("bad", "403", "Invalid Compact JWS"),
        ("not.a.jwt", "403", "JWS Protected Header is invalid"),
        (keys.anon_key[:-4] + "AAAA", "403", "signature verification failed"),
        (keys.mint({"role": "service_role"}, -1), "403", '"exp" claim timestamp check failed'),
        (keys.mint({"role": "nobody"}, 60), "500", "database error, code: 22023"),
    ]
    for token, status, message in cases:
        answer = await storage.http.get("/bucket", headers={"Authorization": f"Bearer {token}"} if token else {})
        assert answer.status_code == (500 if status == "500" else 400)
        assert (answer.json()["statusCode"], answer.json()["message"]) == (status, message)


async def test_a_page_is_never_served_as_a_page(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("x.html", b"<script>", {"content-type": "text/html; charset=utf-8"})
    answer = await storage.http.get((await bucket.create_signed_url("x.html", 60))["signedURL"])
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_only_public_buckets_are_read_without_a_token(storage: Storage) -> None:
    await storage.service.create_bucket("pub", options={"public": True})
    for name in ("pub", "gen"):
        await storage.service.from_(name).upload("p.png", PNG, AS_PNG)
    assert (await storage.http.get("/object/public/pub/p.png")).content == PNG
    assert (await storage.http.get("/object/public/gen/p.png")).json()["code"] == "NoSuchBucket"


async def test_what_is_not_implemented_is_no_route(storage: Storage) -> None:
    for method, path in (
        ("PATCH", "/object/gen/a.png"),
        ("GET", "/render/image/x"),
    ):
        answer = await storage.http.request(method, path)
        assert (answer.status_code, answer.json()["message"]) == (404, f"Route {method}:{path} not found")

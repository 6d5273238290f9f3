"""Promises of reading: ranges, conditions, public buckets; as recorded from supabase/storage v1.70.6."""

from __future__ import annotations

import json

import jwt
import pytest

from devstack.objects.bucket_rows import BucketRows
from devstack.objects.depot import Depot
from devstack.objects.files import Files
from devstack.objects.lists import Lists
from devstack.objects.rows import ObjectRows, Place
from devstack.postgres.caller import SERVICE, Database
from tests.devstack.objects.asking import AS_PNG, PNG, USER, Storage

NOT_ALLOWED = '"alg" (Algorithm) Header Parameter value not allowed'


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-3", 206, PNG[:4], f"bytes 0-3/{len(PNG)}"),
        ("bytes=4-", 206, PNG[4:], f"bytes 4-{len(PNG) - 1}/{len(PNG)}"),
        ("bytes=-5", 206, PNG[-5:], f"bytes {len(PNG) - 5}-{len(PNG) - 1}/{len(PNG)}"),
        ("bytes=0-9999", 206, PNG, f"bytes 0-{len(PNG) - 1}/{len(PNG)}"),
        ("rows=0-3", 200, PNG, None),
    ],
)
async def test_a_range_is_answered_in_part(
    storage: Storage, asked: str, status: int, content: bytes, told: str | None
) -> None:
    await storage.service.from_("gen").upload("a.png", PNG, AS_PNG)
    answer = await storage.raw("GET", "/object/gen/a.png", headers={"Range": asked})
    assert (answer.status_code, answer.content, answer.headers.get("Content-Range")) == (status, content, told)


async def test_a_range_beyond_the_end_is_refused(storage: Storage) -> None:
    await storage.service.from_("gen").upload("a.png", PNG, AS_PNG)
    answer = await storage.raw("GET", "/object/gen/a.png", headers={"Range": "bytes=99999-"})
    assert (answer.status_code, answer.json()["code"]) == (416, "InvalidRange")


async def test_bytes_that_the_caller_has_are_not_sent_again(storage: Storage) -> None:
    await storage.service.from_("gen").upload("a.png", PNG, AS_PNG)
    first = await storage.raw("GET", "/object/gen/a.png")
    tag, changed = first.headers["ETag"], first.headers["Last-Modified"]
    earlier = "Sat, 01 Jan 2000 00:00:00 GMT"
    cases = [
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": f'"other", W/{tag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": changed}, 304),
        ({"If-Modified-Since": earlier}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": changed}, 200),
    ]
    for headers, status in cases:
        answer = await storage.raw("GET", "/object/gen/a.png", headers=headers)
        assert (answer.status_code, answer.content) == (status, PNG if status == 200 else b""), headers
        assert answer.headers["ETag"] == tag


async def test_a_page_is_never_served_as_a_page(storage: Storage) -> None:
    await storage.service.from_("gen").upload("x.html", b"<script>", {"content-type": "text/html; charset=utf-8"})
    answer = await storage.raw("GET", "/object/gen/x.html")
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_only_public_buckets_are_read_without_a_token(storage: Storage) -> None:
    await storage.service.create_bucket("pub", options={"public": True})
    for name in ("pub", "gen"):
        await storage.service.from_(name).upload("p.png", PNG, AS_PNG)
    for path in ("/object/public/pub/p.png", "/object/pub/p.png"):
        assert (await storage.http.get(path)).content == PNG
    assert (await storage.http.get("/object/pub/p.png", headers={"Authorization": "Bearer bad"})).content == PNG
    assert (await storage.http.get("/object/info/public/pub/p.png")).json()["size"] == len(PNG)
    for path in (f"/object/{route}gen/p.png" for route in ("public/", "", "info/", "info/public/")):
        answer = await storage.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "NoSuchBucket"), path
    for path in ("/object/authenticated/gen/p.png", "/object/info/authenticated/gen/p.png"):
        answer = await storage.http.get(path)
        assert answer.json()["message"] == "headers must have required property 'authorization'"


async def test_a_user_reads_a_public_bucket_whatever_the_policies_say(storage: Storage) -> None:
    await storage.service.create_bucket("pub", options={"public": True})
    await storage.service.from_("pub").upload("p.png", PNG, AS_PNG)
    assert await storage.user.from_("pub").download("p.png") == PNG
    url = await storage.service.from_("pub").get_public_url("p.png")
    assert (await storage.http.get(url)).content == PNG


async def test_what_is_known_of_an_object_is_told_with_the_headers_of_its_bytes(storage: Storage) -> None:
    await storage.service.from_("gen").upload("a.png", PNG, AS_PNG)
    answer = await storage.raw("GET", "/object/info/gen/a.png")
    body = await storage.raw("GET", "/object/gen/a.png")
    for name in ("ETag", "Last-Modified", "Cache-Control"):
        assert answer.headers[name] == body.headers[name]
    assert answer.json()["etag"] == body.headers["ETag"]
    head = await storage.raw("HEAD", "/object/gen/a.png")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(PNG)))
    for path in ("/object/gen/nope.png", "/object/info/gen/a.png"):  # that is no route: an object in a bucket `info`
        assert (await storage.raw("HEAD", path)).status_code == 400


async def test_a_row_without_bytes_is_no_object(storage: Storage) -> None:
    for version in (None, "no uuid", "../../etc/passwd", USER):
        await storage.database.execute("set storage.allow_delete_query = 'true'")
        await storage.database.execute("delete from storage.objects")
        sql = "insert into storage.objects (bucket_id, name, version) values ('gen', 'by-sql.png', $1)"
        await storage.database.execute(sql, version)
        answer = await storage.raw("GET", "/object/gen/by-sql.png")
        assert (answer.status_code, answer.json()["code"]) == (400, "NoSuchKey")


async def test_a_reader_whose_bytes_were_just_replaced_gets_the_new_ones(storage: Storage, database_url: str) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("a.png", PNG, AS_PNG)
    files, replaced = Files(storage.folder), False
    database = await Database.open(database_url)
    rows = (BucketRows(database), ObjectRows(database), Lists(database))

    async def read_after_it_was_replaced(version: str | None) -> bytes:
        nonlocal replaced
        if not replaced:
            await bucket.upload("a.png", b"newer", {**AS_PNG, "upsert": "true"})
            replaced = True
        return await files.read(version)

    try:
        depot = Depot(*rows, files, storage.stack.keys)
        row, data = await depot.with_bytes(SERVICE, Place("gen", "a.png"), read_after_it_was_replaced)
    finally:
        await database.close()
    assert (data, json.loads(row["metadata"])["size"]) == (b"newer", 5)


async def test_what_is_not_implemented_is_no_route(storage: Storage) -> None:
    cases = [("PATCH", "/object/gen/a.png"), ("GET", "/render/image/x"), ("POST", "/upload/resumable"), ("GET", "/s3")]
    for method, path in [*cases, ("GET", "/bucket/gen/lifecycle"), ("DELETE", "/cdn/gen/a.png")]:
        answer = await storage.raw(method, path)
        assert (answer.status_code, answer.json()["message"]) == (404, f"Route {method}:{path} not found")


async def test_versions_are_refused_rather_than_overlooked(storage: Storage) -> None:
    await storage.service.from_("gen").upload("a.png", PNG, AS_PNG)
    move = {"bucketId": "gen", "sourceKey": "a.png", "destinationKey": "b.png", "sourceVersionId": USER}
    for answer in (
        await storage.raw("GET", f"/object/gen/a.png?versionId={USER}"),
        await storage.raw("POST", "/object/move", json=move),
        await storage.raw("POST", "/bucket", json={"name": "kept", "versioning_status": "ENABLED"}),
    ):
        assert (answer.status_code, answer.json()["message"]) == (400, "object versioning is not enabled")


async def test_tokens_are_refused_in_storages_own_words(storage: Storage) -> None:
    keys = storage.stack.keys
    cases = [
        (None, "400", "headers must have required property 'authorization'"),
        ("bad", "403", "Invalid Compact JWS"),
        ("not.a.jwt", "403", "JWS Protected Header is invalid"),
        (keys.anon_key[:-4] + "AAAA", "403", "signature verification failed"),
        (jwt.encode({"role": "service_role"}, "", "none"), "403", NOT_ALLOWED),
        (jwt.encode({"role": "service_role"}, keys.jwt_secret, "HS512"), "403", NOT_ALLOWED),
        (keys.mint({"role": "service_role"}, -1), "403", '"exp" claim timestamp check failed'),
        (keys.mint({"role": "nobody"}, 60), "500", "database error, code: 22023"),
    ]
    for token, status, message in cases:
        answer = await storage.http.get("/bucket", headers={"Authorization": f"Bearer {token}"} if token else {})
        assert answer.status_code == (500 if status == "500" else 400)
        assert (answer.json()["statusCode"], answer.json()["message"]) == (status, message)


async def test_a_key_that_no_object_may_have_is_refused_when_it_is_asked_for(storage: Storage) -> None:
    token = storage.stack.keys.mint({"url": "gen/a#b.png"}, 60)
    for method, path in (
        ("GET", "/object/gen/a%00b.png"),
        ("GET", "/object/info/gen/caf%C3%A9.png"),
        ("POST", "/object/sign/gen/100%25.png"),
        ("GET", f"/object/sign/gen/a%23b.png?token={token}"),
    ):
        answer = await storage.raw(method, path, json={"expiresIn": 60})
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidKey"), path
    parent = await storage.raw("GET", "/object/gen/a/%2e%2e/b.png")
    assert parent.json()["code"] == "NoSuchKey"

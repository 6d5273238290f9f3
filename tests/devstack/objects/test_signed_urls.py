"""Promises of signed URLs, to read and to upload; errors as recorded from supabase/storage v1.70.6."""

from __future__ import annotations

import jwt
import pytest
from storage3.exceptions import StorageApiError

from tests.devstack.objects.asking import AS_PNG, EXISTS, HIDDEN, PNG, REFUSED, USER, Storage, said


async def test_a_signed_url_reads_one_object_for_a_while(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    await bucket.upload("u/s.png", PNG, AS_PNG)
    url = (await bucket.create_signed_url("u/s.png", 60))["signedURL"]
    assert url.startswith(f"{storage.stack.url}/storage/v1/object/sign/gen/u/s.png?token=")
    answer = await storage.http.get(url)
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, PNG, "image/png")
    assert "Cache-Control" not in answer.headers
    head = await storage.http.head(url)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(PNG)))
    named = await storage.http.get(f"{url}&download=my+cat.png")
    disposition = "attachment; filename=my%20cat.png; filename*=UTF-8''my%20cat.png"
    assert named.headers["Content-Disposition"] == disposition
    await bucket.upload("u/s.png", b"newer", {**AS_PNG, "upsert": "true"})
    assert (await storage.http.get(url)).content == b"newer", "a URL is not bound to a version"


async def test_a_key_with_spaces_and_signs_can_be_signed(storage: Storage) -> None:
    bucket = storage.service.from_("gen")
    for key in ("a b/c+d&e=f,g.png", "what?.png", "it's (1)!.png"):
        await bucket.upload(key, PNG, AS_PNG)
        url = (await bucket.create_signed_url(key, 60))["signedURL"]
        assert (await storage.http.get(url)).content == PNG, key


async def test_a_wrong_signature_reads_nothing(storage: Storage) -> None:
    bucket, keys = storage.service.from_("gen"), storage.stack.keys
    for name in ("s.png", "t.png"):
        await bucket.upload(f"u/{name}", PNG, AS_PNG)
    url = (await bucket.create_signed_url("u/s.png", 60))["signedURL"]
    path, _, token = url.partition("?token=")
    ended = keys.mint({"url": "gen/u/s.png"}, -5)
    upload = keys.mint({"url": "gen/u/s.png", "scope": "upload", "upsert": False}, 60)
    older_upload = keys.mint({"url": "gen/u/s.png", "upsert": False}, 60)
    cases = [
        (f"{path}?token={token[:-4]}AAAA", "InvalidJWT", "signature verification failed"),
        (f"{path}?token=garbage", "InvalidJWT", "Invalid Compact JWS"),
        (f"{path}?token=", "InvalidJWT", "Invalid Compact JWS"),
        (path, "InvalidRequest", "querystring must have required property 'token'"),
        (f"{path}?token={ended}", "InvalidJWT", '"exp" claim timestamp check failed'),
        (f"{path}?token={keys.service_role_key}", "InvalidSignature", "Invalid signature"),
        (f"{path}?token={upload}", "InvalidSignature", "Token is not scoped for download"),
        (f"{path}?token={older_upload}", "InvalidSignature", "Token is not scoped for download"),
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
    assert (await storage.http.get(str(signed[0]["signedURL"]))).content == PNG
    assert signed[1]["error"] == "Either the object does not exist or you do not have access to it"
    with pytest.raises(StorageApiError) as missing:
        await bucket.create_signed_url("nope.png", 60)
    assert said(missing) == HIDDEN
    with pytest.raises(StorageApiError, match="body/expiresIn must be >= 1"):
        await bucket.create_signed_url("a.png", 0)


async def test_whoever_holds_an_upload_url_uploads_once_on_behalf_of_its_maker(storage: Storage) -> None:
    mine = storage.user.from_("gen")
    signed = await mine.create_signed_upload_url(f"{USER}/in.png")
    stranger = storage.service.from_("gen")
    await stranger.upload_to_signed_url(f"{USER}/in.png", signed["token"], PNG, AS_PNG)
    assert await mine.download(f"{USER}/in.png") == PNG
    owner = await storage.database.fetchval("select owner_id from storage.objects where bucket_id = 'gen'")
    assert owner == USER
    with pytest.raises(StorageApiError) as again:
        await stranger.upload_to_signed_url(f"{USER}/in.png", signed["token"], b"other", AS_PNG)
    assert said(again) == EXISTS
    assert storage.files() == 1


async def test_an_upload_url_needs_no_other_token_and_lasts_two_hours(storage: Storage) -> None:
    answer = (await storage.raw("POST", "/object/upload/sign/gen/a.png")).json()
    claims = jwt.decode(answer["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 7200
    put = await storage.http.put(answer["url"], content=PNG, headers={"Content-Type": "image/png"})
    assert put.json() == {"Key": "gen/a.png"}


async def test_an_upload_url_replaces_only_when_it_was_signed_to(storage: Storage) -> None:
    await storage.raw("POST", "/object/gen/a.png", content=PNG)
    refused = await storage.raw("POST", "/object/upload/sign/gen/a.png")
    assert refused.json()["code"] == "KeyAlreadyExists"
    signed = (await storage.raw("POST", "/object/upload/sign/gen/a.png", headers={"x-upsert": "true"})).json()
    assert (await storage.http.put(signed["url"], content=b"newer")).status_code == 200
    plain = storage.stack.keys.mint({"url": "gen/a.png", "scope": "upload", "upsert": False}, 60)
    path = f"/object/upload/sign/gen/a.png?token={plain}"
    kept = await storage.http.put(path, content=b"third", headers={"x-upsert": "true"})
    assert kept.json()["code"] == "KeyAlreadyExists", "the header of whoever holds the URL does not count"
    assert (await storage.raw("GET", "/object/gen/a.png")).content == b"newer"


async def test_a_user_signs_uploads_only_for_where_he_may_write(storage: Storage) -> None:
    with pytest.raises(StorageApiError) as refused:
        await storage.user.from_("gen").create_signed_upload_url("elsewhere/in.png")
    assert said(refused) == REFUSED
    missing = await storage.raw("POST", "/object/upload/sign/nope/a.png")
    assert missing.json()["code"] == "NoSuchBucket"


async def test_a_wrong_upload_token_stores_nothing(storage: Storage) -> None:
    keys = storage.stack.keys
    cases = [
        ({"url": "gen/other.png", "scope": "upload", "upsert": False}, 60, "Invalid signature"),
        ({"url": "gen/a.png", "scope": "download"}, 60, "Token is not scoped for upload"),
        ({"url": "gen/a.png"}, 60, "Token is not scoped for upload"),
        ({"url": "gen/a.png", "scope": "upload", "upsert": False}, -5, '"exp" claim timestamp check failed'),
    ]
    for claims, valid_s, message in cases:
        path = f"/object/upload/sign/gen/a.png?token={keys.mint(claims, valid_s)}"
        answer = await storage.http.put(path, content=PNG)
        assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert storage.files() == 0

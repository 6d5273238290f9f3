"""Results on a store that speaks S3: signed right, tried again, refused with the setting to mend, listed, removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from listener.adapters.s3 import OWNER_KEY, S3ArtifactStore, open_s3
from listener.adapters.s3_failures import failure
from listener.adapters.s3_place import SIGNED_MAX_S, S3Place
from listener.contract import Artifact, Fetched
from listener.engine.clock import SystemClock
from listener.engine.inputs import PICTURES
from listener.engine.paths import ArtifactPaths
from listener.engine.uploads import Uploads
from listener.errors import (
    InputUnavailable,
    KeyRefused,
    StoreFull,
    StoreMisplaced,
    StoreRejected,
    StoreUnavailable,
)
from listener.ports import Accepted
from tests.support.s3 import KEY_ID, SECRET, Door

PROJECT = "https://project.supabase.co"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100_000)


def place(door: Door, **different: Any) -> S3Place:
    given = {"endpoint": door.url, "bucket": door.bucket, "key_id": KEY_ID, "secret": SECRET, **different}
    return S3Place(**given)


@pytest.fixture
async def store(door: Door) -> AsyncIterator[S3ArtifactStore]:
    async with open_s3(place(door), 2, PROJECT) as opened:
        yield opened


async def test_an_object_is_read_by_its_signed_url_and_by_no_other(store: S3ArtifactStore, door: Door) -> None:
    await store.put("videos", "owner/a b (1).png", PNG, "image/png")
    assert await door.keys() == ["videos/owner/a b (1).png"]
    url = await store.sign("videos", "owner/a b (1).png", 6 * 3600)
    assert "X-Amz-Expires=21600" in url
    async with httpx.AsyncClient() as stranger:
        read = await stranger.get(url)
        assert (read.status_code, read.headers["content-type"], read.content) == (200, "image/png", PNG)
        for other in (url.split("?")[0], url[:-3] + "abc", url.replace("%20b", "%20c"), url.replace("21600", "99999")):
            assert (await stranger.get(other)).status_code == 403, other
        door.ahead_s = 6 * 3600 + 1
        assert (await stranger.get(url)).status_code == 403, "six hours later"


async def test_a_signed_url_lives_for_seven_days_at_most(store: S3ArtifactStore) -> None:
    await store.put("videos", "owner/x.png", PNG, "image/png")
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(await store.sign("videos", "owner/x.png", SIGNED_MAX_S))).status_code == 200


async def test_an_upload_outlives_a_reset_and_a_server_that_fails(store: S3ArtifactStore, door: Door) -> None:
    door.faults = [500, 0, 503]
    uploads = Uploads(store, SystemClock(), "videos", ArtifactPaths("owner/session"), 3600)
    saved = await uploads.upload(Artifact("video.mp4", PNG, "video/mp4"))
    assert (door.faults, await door.keys()) == ([], ["videos/owner/session.mp4"])
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(saved.url)).content == PNG
    door.faults = [500] * 4
    with pytest.raises(StoreUnavailable, match="HTTP 500"):
        await uploads.upload(Artifact("second.mp4", PNG, "video/mp4"))
    assert door.faults == [], "three more tries, and no more"


async def test_uploads_carry_no_header_that_r2_refuses(store: S3ArtifactStore, door: Door) -> None:
    await store.put("videos", "owner/x.png", PNG, "image/png")
    await store.remove("videos", ["owner/x.png"])
    for method, path, headers in door.seen:
        words = {name.lower() for name in headers}
        assert not {word for word in words if "checksum" in word or "trailer" in word}, (method, path)
        assert "aws-chunked" not in headers.get("Content-Encoding", "")
        assert ("content-md5" in words) == (method == "POST"), "S3 insists on a checksum of what is to be removed"
        assert f"/{datetime.now(UTC):%Y%m%d}/auto/s3/" in headers["Authorization"]


async def test_what_is_read_is_bounded_and_says_why_it_cannot_be_used(store: S3ArtifactStore) -> None:
    await store.put("videos", "o/fine.png", PNG, "image/png")
    await store.put("videos", "o/voice.wav", b"RIFF", "audio/wav")
    await store.put("videos", "o/empty.png", b"", "image/png")
    assert await store.get("videos", "o/fine.png", PICTURES) == Fetched(PNG, "image/png")
    small = Accepted(len(PNG) - 1, PICTURES.content_types)
    told = {
        "missing.png": "is not there",
        "fine.png": "is larger",
        "voice.wav": "is not of a type",
        "empty.png": "is empty",
    }
    for name, problem in told.items():
        with pytest.raises(InputUnavailable) as refused:
            await store.get("videos", f"o/{name}", small)
        assert refused.value.details["problem"].startswith(problem)
    with pytest.raises(StoreRejected, match="ValueError"):
        await store.put("videos", "../other/x.png", b"", "image/png")


async def test_objects_are_listed_in_order_piece_by_piece_and_removed_together(
    store: S3ArtifactStore, door: Door
) -> None:
    for path in ("b/2.png", "a/1.png", "b/1.png"):
        await store.put("videos", path, b"x", "image/png")
    await store.put("headshots", "c.png", b"x", "image/png")
    first = await store.listed("videos", "", 2)
    rest = await store.listed("videos", first[-1].path, 2)
    assert [one.path for one in (*first, *rest)] == ["a/1.png", "b/1.png", "b/2.png"]
    assert {one.size_bytes for one in first} == {1}
    assert all(abs((datetime.now(UTC) - one.changed_at).total_seconds()) < 60 for one in first)
    await store.remove("videos", ["a/1.png", "b/1.png", "never/there.png"])
    await store.remove("videos", [])
    assert set(await door.keys()) == {"headshots/c.png", OWNER_KEY, "videos/b/2.png"}


async def test_a_bucket_of_another_project_is_never_listed(store: S3ArtifactStore, door: Door) -> None:
    await store.ping()
    async with open_s3(place(door), 2, PROJECT) as again:
        await again.ping()
    async with open_s3(place(door), 2, "https://another.supabase.co") as other:
        for call in (other.ping(), other.listed("videos", "", 10)):
            with pytest.raises(StoreMisplaced, match="R2_BUCKET_NAME"):
                await call


async def test_a_key_that_is_refused_and_a_bucket_that_is_missing_name_their_settings(door: Door) -> None:
    for different, kind, setting in (
        ({"secret": "wrong"}, KeyRefused, "R2_SECRET_ACCESS_KEY"),
        ({"key_id": "unknown"}, KeyRefused, "R2_ACCESS_KEY_ID"),
        ({"bucket": "nowhere"}, StoreMisplaced, "R2_BUCKET_NAME"),
        ({"endpoint": "http://127.0.0.1:1"}, StoreUnavailable, "upload to videos: "),
    ):
        async with open_s3(place(door, **different), 2, PROJECT) as refused:
            with pytest.raises(kind, match=setting) as told:
                await refused.put("videos", "o/x.png", PNG, "image/png")
            assert SECRET not in str(told.value)
            assert "o/x.png" not in str(told.value)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SlowDown", 503, StoreUnavailable),
        ("TooManyRequests", 429, StoreUnavailable),
        ("InternalError", 500, StoreUnavailable),
        ("Unauthorized", 401, KeyRefused),
        ("AccessDenied", 403, KeyRefused),
        ("", 403, KeyRefused),
        ("PermanentRedirect", 301, StoreMisplaced),
        ("RequestTimeTooSkewed", 403, StoreMisplaced),
        ("QuotaExceeded", 403, StoreFull),
        ("XMinioStorageFull", 507, StoreFull),
        ("XMinioAdminBucketQuotaExceeded", 400, StoreFull),
        ("", 507, StoreFull),
        ("EntityTooLarge", 400, StoreRejected),
        ("NotImplemented", 501, StoreUnavailable),
        ("InvalidArgument", 400, StoreRejected),
    ],
)
def test_every_answer_has_its_place_in_the_taxonomy(code: str, status: int, kind: type[Exception]) -> None:
    assert type(failure("upload", code, status)) is kind


def test_neither_key_nor_secret_is_shown_with_a_place() -> None:
    shown = repr(S3Place("https://x", "b", KEY_ID, SECRET))
    assert KEY_ID not in shown
    assert SECRET not in shown

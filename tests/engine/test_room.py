"""A store that is full: cleaned once, tried once more, then told; and a file whose URL cannot be signed is kept."""

from __future__ import annotations

import asyncio

import pytest

from listener.contract import Artifact, Fetched
from listener.engine.clock import SystemClock
from listener.engine.failure import failure_of
from listener.engine.inputs import PICTURES
from listener.engine.paths import ArtifactPaths
from listener.engine.room import RoomyArtifacts
from listener.engine.uploads import Uploads, repeated
from listener.errors import StoreFull, StoreRejected, StoreUnavailable, UrlNotSigned
from listener.ports import Accepted
from listener.telemetry import log
from tests.engine.conftest import Lines


class Shelf:
    """A store in memory with so many places; `unsignable` is what signing fails with."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.files: dict[str, bytes] = {}
        self.puts = 0
        self.cleanings: list[str] = []
        self.frees = 0
        self.unsignable: Exception | None = None
        self.uncleanable: Exception | None = None

    async def put(self, bucket: str, path: str, data: bytes, content_type: str) -> None:
        self.puts += 1
        await asyncio.sleep(0)
        if len(self.files) >= self.places:
            raise StoreFull("no room")
        self.files[f"{bucket}/{path}"] = data

    async def sign(self, bucket: str, path: str, valid_s: int) -> str:
        if self.unsignable is not None:
            raise self.unsignable
        return f"https://x/{bucket}/{path}"

    async def get(self, bucket: str, path: str, accepted: Accepted) -> Fetched:
        return Fetched(self.files[f"{bucket}/{path}"], "video/mp4")

    async def clean(self, bucket: str) -> None:
        """Make so much room as there is to be made."""
        await asyncio.sleep(0)
        if self.uncleanable is not None:
            raise self.uncleanable
        self.cleanings.append(bucket)
        for path in list(self.files)[: self.frees]:
            del self.files[path]


def roomy(shelf: Shelf) -> RoomyArtifacts:
    return RoomyArtifacts(shelf, shelf.clean, SystemClock(), log.get("test"))


async def test_a_full_store_is_cleaned_and_the_upload_goes_on() -> None:
    shelf = Shelf(1)
    shelf.files["videos/old"], shelf.frees = b"old", 1
    await roomy(shelf).put("videos", "new", b"new", "video/mp4")
    assert (shelf.files, shelf.cleanings) == ({"videos/new": b"new"}, ["videos"])


async def test_a_store_that_stays_full_is_told_after_one_cleaning_and_not_cleaned_again_at_once() -> None:
    shelf = Shelf(0)
    store = roomy(shelf)
    for _ in range(3):
        with pytest.raises(StoreFull):
            await repeated(lambda: store.put("videos", "new", b"new", "video/mp4"))
    assert (shelf.cleanings, shelf.puts) == (["videos"], 2 + 1 + 1)


async def test_uploads_that_meet_a_full_store_together_share_one_cleaning() -> None:
    shelf = Shelf(3)
    shelf.files, shelf.frees = {f"videos/old{n}": b"" for n in range(3)}, 3
    store = roomy(shelf)
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(store.put("videos", str(number), b"new", "video/mp4"))
    assert (len(shelf.files), len(shelf.cleanings)) == (3, 1)


@pytest.mark.parametrize(("error", "words"), [(StoreUnavailable("503"), "503"), (TimeoutError(), "it took too long")])
async def test_a_cleaning_that_fails_is_a_line_and_the_upload_is_tried_once_more(
    error: Exception, words: str, logged: Lines
) -> None:
    shelf = Shelf(0)
    shelf.uncleanable = error
    with pytest.raises(StoreFull):
        await roomy(shelf).put("videos", "new", b"new", "video/mp4")
    assert shelf.puts == 2
    assert [line["error"] for line in logged("no_room_made")] == [words]


async def test_reading_and_signing_are_the_store_s_own() -> None:
    shelf = Shelf(9)
    store = roomy(shelf)
    await store.put("videos", "a", b"x", "video/mp4")
    assert await store.get("videos", "a", PICTURES) == Fetched(b"x", "video/mp4")
    assert await store.sign("videos", "a", 60) == "https://x/videos/a"
    assert shelf.cleanings == []


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreRejected("no such object")])
async def test_a_url_that_cannot_be_signed_leaves_the_file_and_says_where_it_is(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(9)
    shelf.unsignable = error
    uploads = Uploads(shelf, SystemClock(), "videos", ArtifactPaths("owner/session"), 3600)
    with pytest.raises(UrlNotSigned) as told:
        await uploads.upload(Artifact("video.mp4", b"made", "video/mp4"))
    assert shelf.files == {"videos/owner/session.mp4": b"made"}
    shown = failure_of(told.value, SystemClock().now())
    assert (shown.code, shown.details["stored_in"]) == ("url_not_signed", "videos")
    assert shown.details["stored_as"] == "owner/session.mp4"
    assert "is stored" in shown.message

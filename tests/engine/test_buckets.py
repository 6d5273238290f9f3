"""Each bucket lies in the store that the settings give it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from listener.contract import Fetched
from listener.engine.buckets import RoutedArtifacts, RoutedRemover
from listener.engine.inputs import PICTURES
from listener.errors import InputUnavailable, StoreUnavailable
from tests.engine.engine_support import MemoryObjects


class Remover:
    def __init__(self) -> None:
        self.removed: list[tuple[str, Sequence[str]]] = []
        self.error: Exception | None = None

    async def remove(self, bucket: str, paths: Sequence[str]) -> None:
        if self.error is not None:
            raise self.error
        self.removed.append((bucket, paths))


async def test_an_object_is_written_read_and_signed_where_its_bucket_lies() -> None:
    usual, elsewhere = MemoryObjects(), MemoryObjects()
    routed = RoutedArtifacts(usual, elsewhere, ["videos"])
    for bucket, own, other in (("videos", elsewhere, usual), ("headshots", usual, elsewhere)):
        await routed.put(bucket, "a", b"x", "image/png")
        assert (bucket, "a") in own.objects
        assert (bucket, "a") not in other.objects
        assert await routed.get(bucket, "a", PICTURES) == Fetched(b"x", "image/png")
        assert await routed.sign(bucket, "a", 60) == await own.sign(bucket, "a", 60)
    with pytest.raises(InputUnavailable):
        await usual.get("videos", "a", PICTURES)


async def test_what_was_stored_before_its_bucket_moved_is_removed_too() -> None:
    usual, elsewhere = Remover(), Remover()
    routed = RoutedRemover(usual, elsewhere, ["videos"])
    await routed.remove("videos", ["a"])
    await routed.remove("headshots", ["b"])
    assert elsewhere.removed == [("videos", ["a"])]
    assert usual.removed == [("videos", ["a"]), ("headshots", ["b"])]


async def test_a_store_that_is_away_leaves_the_objects_of_both_for_another_time() -> None:
    usual, elsewhere = Remover(), Remover()
    elsewhere.error = StoreUnavailable("503")
    with pytest.raises(StoreUnavailable):
        await RoutedRemover(usual, elsewhere, ["videos"]).remove("videos", ["a"])
    assert usual.removed == []

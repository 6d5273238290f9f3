"""What cleaning removes, in which order, and how much of it in one turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from listener.engine import cleaning as module
from listener.engine.cleaning import BATCHES_MAX, EXPIRED_MAX, IDLE_S, PAGE, REST_S, Cleaning, telling
from listener.errors import StoreRejected, StoreUnavailable
from listener.leftovers import Leftover, Page, Place
from listener.telemetry import log


class World:
    """Rows and objects in memory: both ports. `held` are objects whose rows somebody has locked."""

    def __init__(self) -> None:
        self.rows: dict[Place, str] = {}
        self.objects: list[Place] = []
        self.held: set[Place] = set()
        self.calls: list[str] = []
        self.turn: Place | None = Place()
        self.left: list[tuple[Place, int]] = []
        self.removal: Exception | None = None
        self.keeping: Exception | None = None
        self.faults: list[Exception] = []
        self.ended = asyncio.Event()

    def add(self, name: str, reason: str = "") -> Place:
        """An object; with a reason, one of a row that may go."""
        place = Place("characters", name)
        self.objects.append(place)
        if reason:
            self.rows[place] = reason
        return place

    async def take_turn(self, _hold_s: int, *, at_once: bool = False) -> Place | None:
        self.calls.append("take")
        if self.faults:
            raise self.faults.pop(0)
        return self.turn

    async def leave_turn(self, place: Place, rest_s: int) -> None:
        self.left.append((place, rest_s))
        self.ended.set()

    async def keep(self, bucket: str, hours: float) -> None:
        self.calls.append(f"keep {bucket} {hours}")
        if self.keeping is not None:
            raise self.keeping

    async def expired(self, limit: int) -> tuple[Leftover, ...]:
        self.calls.append("expired")
        found = [Leftover(place, why, 10) for place, why in self.rows.items() if why == "expired"]
        return tuple(found[:limit])

    async def page(self, place: Place, limit: int) -> Page:
        self.calls.append("page")
        after = sorted((one.bucket, one.path) for one in self.objects)
        after = [one for one in after if one > (place.bucket, place.path)][:2]
        looked = [Place(*one) for one in after]
        orphans = tuple(Leftover(one, "named_by_no_row", 7) for one in looked if one not in self.rows)
        return Page(orphans, looked[-1] if len(looked) == 2 else None)

    def start_of(self, bucket: str) -> Place:
        return Place(bucket)

    async def forget(self, leftovers: Sequence[Leftover]) -> tuple[Place, ...]:
        self.calls.append("forget")
        places = (one.place for one in leftovers)
        freed = tuple(place for place in places if place not in self.held and self.rows.get(place) != "delivered")
        for place in freed:
            self.rows.pop(place, None)
        return freed

    async def remove(self, bucket: str, paths: Sequence[str]) -> None:
        self.calls.append("remove")
        if self.removal is not None:
            raise self.removal
        assert len(paths) <= 100
        for path in paths:
            assert Place(bucket, path) not in self.rows, "rows go before their objects"
            self.objects.remove(Place(bucket, path))


class Told:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, leftovers: Sequence[Leftover]) -> None:
        self.paths += [one.place.path for one in leftovers]


def cleaning(world: World, told: Told | None = None, *, removes: bool = True) -> Cleaning:
    return Cleaning(world, world, told or Told(), removes=removes)


async def test_a_turn_removes_what_expired_and_the_orphans_of_a_page_and_leaves_the_rest_to_the_next() -> None:
    world, told = World(), Told()
    old, kept = world.add("3-old", "expired"), world.add("1-kept", "delivered")
    orphans = [world.add("2-orphan"), world.add("4-orphan")]
    await cleaning(world, told).turn()
    assert world.objects == [kept, orphans[1]]
    assert told.paths == [old.path, orphans[0].path]
    assert world.left == [(orphans[0], REST_S)], "the walk goes on from here"
    world.turn = world.left[-1][0]
    await cleaning(world, told).turn()
    assert (world.objects, world.left[-1]) == ([kept], (Place(), IDLE_S))


async def test_nothing_is_touched_while_it_is_another_ones_turn() -> None:
    world = World()
    world.add("orphan")
    world.turn = None
    await cleaning(world).turn()
    assert (world.calls, world.left, len(world.objects)) == (["take"], [], 1)
    assert await cleaning(world).everything() is False
    assert len(world.objects) == 1


async def test_a_turn_is_bounded_and_says_that_there_is_more() -> None:
    world = World()
    for number in range(EXPIRED_MAX * BATCHES_MAX + 1):
        world.add(f"{number:04}", "expired")
    await cleaning(world).turn()
    assert len(world.rows) == 1
    assert world.left[-1][1] == REST_S


async def test_what_somebody_holds_is_left_for_another_time_and_asked_for_once() -> None:
    world, told = World(), Told()
    world.held = {world.add("held", "expired")}
    await cleaning(world, told).turn()
    assert world.calls.count("expired") == 1
    assert (len(world.objects), told.paths, "remove" in world.calls) == (1, [], False)


async def test_a_removal_that_fails_leaves_an_object_that_the_walk_finds() -> None:
    world = World()
    world.add("old", "expired")
    world.removal = StoreUnavailable("503")
    with pytest.raises(StoreUnavailable):
        await cleaning(world).turn()
    assert (len(world.objects), world.rows) == (1, {})
    world.removal = None
    await cleaning(world).turn()
    assert world.objects == []


async def test_an_object_that_the_storage_refuses_to_remove_stops_nothing_else() -> None:
    world, told = World(), Told()
    for number in range(3):
        world.add(f"orphan-{number}")
    world.removal = StoreRejected("403")
    one = cleaning(world, told)
    await one.turn()
    assert (one.refused, told.paths, world.left) == (2, [], [(Place("characters", "orphan-1"), REST_S)])


async def test_a_dry_run_finds_all_and_changes_nothing() -> None:
    world, told = World(), Told()
    for number in range(5):
        world.add(f"orphan-{number}")
    world.add("old", "expired")
    world.add("kept", "delivered")
    assert await cleaning(world, told, removes=False).everything()
    assert sorted(told.paths) == ["old", *(f"orphan-{number}" for number in range(5))]
    assert len(world.objects) == 7
    assert set(world.calls) == {"expired", "page"}
    assert world.left == []


@pytest.mark.parametrize(("expired", "saw_all"), [(PAGE - 1, True), (PAGE + 1, False)])
async def test_a_dry_run_says_when_there_may_be_more(expired: int, saw_all: bool) -> None:
    world, told = World(), Told()
    for number in range(expired):
        world.add(f"{number:04}", "expired")
    cleans = cleaning(world, told, removes=False)
    assert await cleans.everything()
    assert (len(told.paths), cleans.saw_all) == (min(expired, PAGE), saw_all)


async def test_a_worker_told_to_only_look_logs_counts_and_no_path(logged: Any) -> None:
    world = World()
    world.add("private-path", "expired")
    await Cleaning(world, world, telling(log.get("test"), removes=False), removes=False).turn()
    (line,) = logged("cleaning_would_remove")
    assert (line["objects"], line["size_bytes"], line["reasons"]) == (1, 10, {"expired": 1})
    assert "private-path" not in str(logged())
    assert len(world.objects) == 1


async def test_everything_goes_to_the_end_and_keeps_its_turn() -> None:
    world = World()
    for number in range(7):
        world.add(f"orphan-{number}")
    assert await cleaning(world).everything()
    assert world.objects == []
    assert world.left == [(Place(), IDLE_S)]
    assert world.calls.count("take") > 1


async def test_a_database_that_is_away_is_a_line_and_the_next_turn_cleans(
    monkeypatch: pytest.MonkeyPatch, logged: Any
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)
    world = World()
    world.add("orphan")
    world.faults = [StoreUnavailable("503"), StoreRejected("42883")]
    running = asyncio.ensure_future(cleaning(world).run(log.get("test")))
    async with asyncio.timeout(5):
        await world.ended.wait()
    running.cancel()
    assert len(logged("cleaning_failed")) == 2
    assert world.objects == []


async def test_how_long_a_bucket_is_kept_is_said_once_and_before_anything_is_looked_for() -> None:
    world = World()
    cleans = Cleaning(world, world, Told(), removes=True, retention={"videos": 12.0})
    world.keeping = StoreUnavailable("down")
    with pytest.raises(StoreUnavailable):
        await cleans.turn()
    world.keeping = None
    await cleans.turn()
    await cleans.turn()
    assert world.calls[:4] == ["take", "keep videos 12.0", "take", "keep videos 12.0"], "said again until it is heard"
    assert world.calls[4] == "expired"
    assert world.calls.count("keep videos 12.0") == 2


async def test_a_dry_run_changes_no_retention() -> None:
    world = World()
    await Cleaning(world, world, Told(), removes=False, retention={"videos": 12.0}).turn()
    assert "keep videos 12.0" not in world.calls


async def test_making_room_takes_what_expired_and_the_orphans_of_one_bucket_and_returns_to_the_walk() -> None:
    world, told = World(), Told()
    world.turn = Place("somewhere", "in-between")
    for number in range(EXPIRED_MAX * BATCHES_MAX + 1):
        world.add(f"{number:04}", "expired")
    orphans = [world.add(f"orphan-{number}") for number in range(3)]
    elsewhere = [Place("headshots", name) for name in ("1", "2", "3")]
    world.objects += elsewhere
    kept = world.add("kept", "delivered")
    assert await cleaning(world, told).make_room("characters")
    assert set(orphans).isdisjoint(world.objects)
    assert kept in world.objects
    assert elsewhere[2] in world.objects, "another bucket's are left to the walk, but for what lies on the same page"
    assert (list(world.rows), world.left) == ([kept], [(Place("somewhere", "in-between"), REST_S)])


async def test_room_is_not_made_by_two_at_once() -> None:
    world = World()
    world.add("orphan")
    world.turn = None
    assert await cleaning(world).make_room("characters") is False
    assert (len(world.objects), world.left) == (1, [])


async def test_everything_expired_goes_however_many_turns_it_takes() -> None:
    world = World()
    for number in range(EXPIRED_MAX * BATCHES_MAX + 1):
        world.add(f"{number:04}", "expired")
    assert await cleaning(world).everything()
    assert (world.objects, world.rows) == ([], {})

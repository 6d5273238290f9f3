"""Forms that come slowly, break off, come all at once, or meet a project that is away: places, memory and files."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devstack.stack import Stack
from listener.http import forms
from listener.http.scratch import PREFIX, open_scratch
from tests.support.avatars import form, order, sound, stage_on
from tests.support.gateway import open_gateway
from tests.support.photographs import person

MIB = 2**20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "forms"
    made.mkdir()
    return made


async def until(seen: Callable[[], object]) -> None:
    """Let others go on until something is so."""
    async with asyncio.timeout(20):
        while not seen():
            await asyncio.sleep(0.01)


async def test_who_hangs_up_in_the_middle_leaves_no_file_and_gives_his_place_back(stack: Stack, folder: Path) -> None:
    async with stage_on(stack, folder, LISTENER_UPLOADS_AT_ONCE="1") as stage:
        store = await stage.store()
        for count in range(3):
            async with stage.wire(store, 8 * MIB) as wire:
                await wire.begin(person() + bytes(MIB))
                await until(lambda: any(path.stat().st_size for path in stage.files()))
                assert (await order(store)).code == "TOO_MANY_UPLOADS", count
            await until(lambda: not stage.files())
        assert (await order(store)).status == 201
        assert len(await stage.objects(store)) == 2


async def test_slow_senders_hold_no_more_than_their_places_and_others_are_told_when_to_come_again(
    stack: Stack, folder: Path
) -> None:
    async with stage_on(stack, folder, LISTENER_UPLOADS_AT_ONCE="2") as stage:
        slow, ada, eve = await stage.store(), await stage.visitor(), await stage.visitor()
        async with stage.wire(slow, 8 * MIB) as first:
            await first.begin(person())
            await until(stage.files)
            again = await order(slow)
            assert (again.status, again.code) == (429, "TOO_MANY_UPLOADS")
            assert (again.headers["Retry-After"], again.body["error"]["details"]) == ("5", {"at_once": 1})
            assert (await order(ada)).status == 201, "one account never takes all places"
            async with stage.wire(ada, 8 * MIB) as second:
                await second.begin(person())
                await until(lambda: len(stage.files()) == 2)
                busy = await order(eve)
                assert (busy.status, busy.code, busy.headers["Retry-After"]) == (503, "BUSY", "5")
        await until(lambda: not stage.files())
        assert (await order(eve)).status == 201


async def test_a_form_that_stops_coming_is_given_up(
    stack: Stack, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "IDLE_S", 0.3)
    async with stage_on(stack, folder) as stage:
        ada = await stage.visitor()
        async with stage.wire(ada, 8 * MIB) as wire:
            await wire.begin(person())
            assert await wire.status() == 408
        monkeypatch.setattr(forms, "IDLE_S", 15.0)
        monkeypatch.setattr(forms, "WITHIN_S", 0.5)

        async def slow() -> AsyncIterator[bytes]:
            yield person()
            while True:
                await asyncio.sleep(0.05)
                yield bytes(10)

        refused = await order(ada, form(image=slow()))
        assert (refused.status, refused.code) == (408, "REQUEST_TIMEOUT")
        assert (stage.files(), await stage.objects(ada)) == ([], [])


async def test_a_disk_that_keeps_no_file_is_503_and_costs_nothing(stack: Stack, folder: Path) -> None:
    async with stage_on(stack, folder) as stage:
        ada = await stage.visitor()
        (place,) = folder.iterdir()
        place.rename(folder / "away")
        refused = await order(ada)
        assert (refused.status, refused.code) == (503, "TEMPORARILY_UNAVAILABLE")
        assert refused.headers["Retry-After"] == "30"
        assert (await stage.objects(ada), await stage.credits(ada)) == ([], 10)
        (folder / "away").rename(place)
        assert (await order(ada)).status == 201


async def test_twenty_forms_at_once_are_taken_in_with_the_memory_of_a_few_pieces(
    stack: Stack, folder: Path, connection: asyncpg.Connection[Any]
) -> None:
    size_mib, piece, all_half_way = 3, bytes(65_536), asyncio.Event()

    async def big() -> AsyncIterator[bytes]:
        yield sound(0.1)
        for number in range(size_mib * 16):
            yield piece
            if number == size_mib * 8:
                await all_half_way.wait()

    async with stage_on(stack, folder) as stage:
        guests = [await stage.store(20), await stage.visitor()]
        await order(guests[0])
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            async with asyncio.TaskGroup() as group:
                made = [group.create_task(order(guests[n % 2], form(audio=big()))) for n in range(20)]
                await until(lambda: len(stage.files()) == 40)  # both files of all of them lie on disk
                all_half_way.set()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert [one.result().status for one in made] == [201] * 20
        print(
            f"\npeak of {20 * size_mib} MiB in 20 forms: {(peak - before) / MIB:.1f} MiB, storage and clients included"
        )
        assert peak - before < 30 * MIB
        assert stage.files() == []
        sizes = await connection.fetch("select (metadata ->> 'size')::int as size from storage.objects order by 1")
        assert sum(row["size"] for row in sizes) > 20 * size_mib * MIB


@pytest.mark.parametrize(("part", "kept"), [("/storage/v1/object/uploads", 0), ("/rest/v1/{table}", 2)])
async def test_a_project_that_goes_away_is_503_and_the_same_form_again_is_paid_once(
    stack: Stack, folder: Path, part: str, kept: int
) -> None:
    async with open_gateway(stack.url) as gateway, stage_on(stack, folder, gateway.url) as stage:
        tables = {"store_avatar_sessions": await stage.store(), "avatar_sessions": await stage.visitor()}
        for table, guest in tables.items():
            gateway.path, gateway.failures = part.format(table=table), 100
            away = await order(guest)
            assert (away.status, away.code, away.headers["Retry-After"]) == (503, "TEMPORARILY_UNAVAILABLE", "2")
            assert len(await stage.objects(guest)) == kept, "a row whose insert was not answered may name them"
            gateway.failures = 0
            assert (await order(guest, key="k")).status == 201
            assert (await order(guest, key="k")).status == 200
            assert await stage.credits(guest) == 9
        assert stage.files() == []


async def test_an_order_whose_answer_was_lost_on_the_way_keeps_its_files(stack: Stack, folder: Path) -> None:
    async with open_gateway(stack.url) as gateway, stage_on(stack, folder, gateway.url) as stage:
        gateway.loses = True
        tables = {"store_avatar_sessions": await stage.store(), "avatar_sessions": await stage.visitor()}
        for table, guest in tables.items():
            gateway.path, gateway.failures = f"/rest/v1/{table}", 1
            made = await order(guest)
            assert (made.status, gateway.failures) == (201, 0)
            assert (len(await stage.objects(guest)), await stage.credits(guest)) == (2, 9)
            gateway.path, gateway.failures = "/storage/v1/object/uploads", 1
            assert (await order(guest)).status == 201
            assert (len(await stage.objects(guest)), gateway.failures) == (4, 0)


async def test_an_order_that_was_paid_is_answered_also_when_its_place_in_the_queue_is_unknown(
    stack: Stack, folder: Path
) -> None:
    async with open_gateway(stack.url) as gateway, stage_on(stack, folder, gateway.url) as stage:
        doors = {"owner_queue_status": await stage.store(), "queue_status": await stage.visitor()}
        for door, guest in doors.items():
            gateway.path, gateway.failures = f"/rest/v1/rpc/{door}", 100
            made = await order(guest)
            assert (made.status, made.data["status"], made.data["queue"]) == (201, "pending", None)
            gateway.failures = 0
            shown = await guest.ask("GET", made.headers["Location"])
            assert shown.data["queue"]["position"] is not None
            assert await stage.credits(guest) == 9


async def test_a_second_file_that_cannot_be_laid_down_takes_the_first_one_along(stack: Stack, folder: Path) -> None:
    async with open_gateway(stack.url) as gateway, stage_on(stack, folder, gateway.url) as stage:
        store = await stage.store()
        gateway.path, gateway.passes = "/storage/v1/object/uploads", 1
        gateway.failures = 3
        assert (await order(store)).status == 503
        assert (await stage.objects(store), await stage.credits(store)) == ([], 10)


HOLDER = """
import sys, time
from pathlib import Path
from listener.http.scratch import open_scratch
with open_scratch(Path(sys.argv[1])) as scratch, scratch.folder() as folder:
    (folder / "image").write_bytes(b"a face")
    print(folder, flush=True)
    time.sleep(60)
"""


def _held(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(parent)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    return holder, Path(holder.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_at_the_next_start_and_a_living_ones_stays(tmp_path: Path) -> None:
    living, killed = _held(tmp_path), _held(tmp_path)
    foreign = tmp_path / f"{PREFIX}link"
    foreign.symlink_to(living[1])
    try:
        assert killed[1].parent.stat().st_mode & 0o777 == 0o700
        killed[0].send_signal(signal.SIGKILL)
        killed[0].wait()
        assert (killed[1] / "image").exists()
        with open_scratch(tmp_path) as scratch, scratch.folder() as own:
            assert own.stat().st_uid == os.getuid()
            assert not killed[1].parent.exists()
            assert (living[1] / "image").read_bytes() == b"a face"
        assert not own.parent.exists()
    finally:
        for process, _ in (living, killed):
            process.kill()
            process.communicate()

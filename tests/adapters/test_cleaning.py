"""Cleaning on the embedded stack: what goes from rows and Storage, what stays, and what an operator is shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from listener.adapters.leftovers import SupabaseLeftovers
from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.supabase_clients import Clients
from listener.cleaners import cleaner
from listener.contract import SavedArtifact, Session
from listener.leftovers import Leftover
from listener.ports import Attempt, Failure
from tests.adapters.conftest import Worker
from tests.support.commands import listener
from tests.support.target import Target

BUCKET = "headshots"
PNG = b"\x89PNG\r\n\x1a\n"
LATER = datetime(2040, 1, 1, tzinfo=UTC)
BUSY = Failure("provider_busy", "busy")

Insert = Callable[..., Awaitable[UUID]]


class Shelf:
    """The objects of a test, and which of them are still there."""

    def __init__(self, clients: Clients, connection: asyncpg.Connection) -> None:
        self.told: list[Leftover] = []
        self._clients = clients
        self._connection = connection
        self._paths: list[str] = []

    async def put(self, path: str) -> str:
        await SupabaseArtifactStore(self._clients).put(BUCKET, path, PNG, "image/png")
        self._paths.append(path)
        return path

    async def save(self, worker: Worker, session: Session, attempt: Attempt) -> list[str]:
        """A file and its thumbnail, stored and recorded as an attempt does."""
        path, thumbnail = f"{session.path_prefix}.png", f"{session.path_prefix}.thumb.webp"
        saved = SavedArtifact(
            "image.png", BUCKET, path, "https://x/s", LATER, len(PNG), "image/png", thumbnail_path=thumbnail
        )
        stored = [await self.put(path), await self.put(thumbnail)]
        assert (await worker.store.add_artifact(attempt, saved)).outcome == "applied"
        return stored

    async def left(self) -> list[str]:
        statement = "select name from storage.objects where bucket_id = $1 and name = any($2)"
        return [row["name"] for row in await self._connection.fetch(statement, BUCKET, self._paths)]

    async def aged(self, *paths: str) -> None:
        """As if they had been written three days ago."""
        statement = "update storage.objects set created_at = created_at - interval '3 days', "
        statement += "updated_at = updated_at - interval '3 days' where bucket_id = $1 and name = any($2)"
        async with self._connection.transaction():
            await self._connection.execute("set local session_replication_role = replica")  # a trigger sets updated_at
            await self._connection.execute(statement, BUCKET, list(paths))

    async def clean(self, *, removes: bool = True) -> dict[str, str]:
        """Clean all; why each of this test's objects went."""
        told: list[Leftover] = []

        def tell(leftovers: Sequence[Leftover]) -> None:
            told.extend(leftovers)

        assert await cleaner(self._clients, uuid4(), tell, removes=removes).everything()
        return {one.place.path: one.reason for one in told if one.place.path in self._paths}


@pytest.fixture
def shelf(clients: Clients, connection: asyncpg.Connection) -> Shelf:
    return Shelf(clients, connection)


async def test_files_of_an_attempt_that_did_not_count_go_and_those_of_the_one_that_did_stay(
    shelf: Shelf, worker: Worker, insert: Insert
) -> None:
    await insert()
    first = await worker.claim_one()
    lost = await shelf.save(worker, *first)
    await worker.store.retry(first[1], BUSY, 0.0)
    second = await worker.claim_one()
    kept = await shelf.save(worker, *second)
    assert await shelf.clean() == {}, "while it runs nothing is touched"
    assert (await worker.store.complete(second[1], {})).outcome == "applied"
    assert await shelf.clean(removes=False) == dict.fromkeys(lost, "not_delivered")
    assert set(await shelf.left()) == {*lost, *kept}, "a dry run removes nothing"
    assert set(await shelf.clean()) == set(lost)
    assert set(await shelf.left()) == set(kept)


async def test_what_a_failed_session_left_goes(shelf: Shelf, worker: Worker, insert: Insert) -> None:
    await insert()
    session, attempt = await worker.claim_one()
    lost = await shelf.save(worker, session, attempt)
    await worker.store.fail(attempt, Failure("generation_failed", "no"))
    assert set(await shelf.clean()) == set(lost)
    assert await shelf.left() == []


async def test_files_of_a_deleted_row_go(
    shelf: Shelf, worker: Worker, insert: Insert, connection: asyncpg.Connection
) -> None:
    row = await insert()
    session, attempt = await worker.claim_one()
    stored = await shelf.save(worker, session, attempt)
    await worker.store.complete(attempt, {})
    assert await shelf.clean() == {}
    await connection.execute("delete from public.headshot_sessions where id = $1", row)
    assert await shelf.clean() == dict.fromkeys(stored, "row_deleted")
    assert await shelf.left() == []


async def test_an_operator_sees_each_object_before_it_goes(shelf: Shelf, project: Target) -> None:
    folder = str(uuid4())
    orphan, young = [await shelf.put(f"{folder}/{uuid4()}.2/3.png") for _ in range(2)]
    strange = await shelf.put(f"{folder}/mine.png")
    await shelf.aged(orphan, strange)
    shown = await listener("clean", "--dry-run", place=project)
    assert shown.status == 0, shown.complained
    assert f"{BUCKET}/{orphan}  named_by_no_row" in shown.said.splitlines()
    assert young not in shown.said
    assert "would be removed" in shown.said.splitlines()[-1]
    assert set(await shelf.left()) == {orphan, young, strange}
    done = await listener("clean", place=project)
    assert (done.status, f"{BUCKET}/{orphan}  named_by_no_row" in done.said) == (0, True)
    assert set(await shelf.left()) == {young, strange}, "what is young, or of no shape that workers write, stays"


async def test_who_comes_while_another_one_cleans_is_told_so(
    shelf: Shelf, clients: Clients, project: Target, connection: asyncpg.Connection
) -> None:
    orphan = await shelf.put(f"{uuid4()}/{uuid4()}.png")
    await shelf.aged(orphan)
    holder = SupabaseLeftovers(clients.calls, uuid4())
    place = await holder.take_turn(60, at_once=True)
    assert place is not None
    refused = await listener("clean", place=project)
    assert (refused.status, await shelf.left()) == (75, [orphan])
    assert "try again" in refused.complained
    await holder.leave_turn(place, 0)
    await connection.execute("update listener.cleaning set until = now()")
    await cleaner(clients, uuid4(), lambda _: None, removes=True).turn()


async def test_the_hours_of_the_settings_are_those_of_the_bucket_of_clips(
    project: Target, connection: asyncpg.Connection
) -> None:
    kept = "select keep_hours from listener.retentions where bucket = 'videos'"
    try:
        for hours in (2.5, 6):
            done = await listener("clean", place=project, VIDEO_RETENTION_HOURS=str(hours))
            assert done.status == 0, done.complained
            assert await connection.fetchval(kept) == hours
    finally:
        await connection.execute("select public.set_retention('videos', 6)")

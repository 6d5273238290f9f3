"""Cleaning where results lie on S3: what goes from rows and from the store, and what never does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.s3 import OWNER_KEY, S3ArtifactStore, open_s3
from listener.adapters.s3_place import S3Place
from listener.adapters.supabase_clients import Clients
from listener.cleaners import cleaner
from listener.contract import SavedArtifact, Session
from listener.leftovers import Leftover, Listed
from listener.ports import Attempt, Failure
from tests.adapters.conftest import Worker
from tests.support.s3 import KEY_ID, SECRET, Door
from tests.support.target import Target

BUCKET = "headshots"
PNG = b"\x89PNG\r\n\x1a\n"
LATER = datetime(2040, 1, 1, tzinfo=UTC)

Insert = Callable[..., Awaitable[UUID]]


class Aged(S3ArtifactStore):
    """A store whose objects of one folder were written three days ago: the server tells its own time."""

    old: str = "nothing"

    async def listed(self, bucket: str, after: str, limit: int) -> tuple[Listed, ...]:
        found = await super().listed(bucket, after, min(limit, 2))
        past = timedelta(days=3)
        aged = (
            replace(one, changed_at=one.changed_at - past) if one.path.startswith(self.old) else one for one in found
        )
        return tuple(aged)


@pytest.fixture
async def store(door: Door, project: Target) -> AsyncIterator[Aged]:
    place = S3Place(door.url, door.bucket, KEY_ID, SECRET, buckets=(BUCKET, "videos"))
    async with open_s3(place, 2, project.url) as opened:
        yield Aged(opened._client, place, project.url)


async def saved(store: S3ArtifactStore, worker: Worker, session: Session, attempt: Attempt) -> set[str]:
    """A file and its thumbnail, stored and recorded as an attempt does; their keys."""
    path, thumbnail = f"{session.path_prefix}.png", f"{session.path_prefix}.thumb.webp"
    for one in (path, thumbnail):
        await store.put(BUCKET, one, PNG, "image/png")
    artifact = SavedArtifact("a.png", BUCKET, path, "https://x/s", LATER, 8, "image/png", thumbnail_path=thumbnail)
    assert (await worker.store.add_artifact(attempt, artifact)).outcome == "applied"
    return {f"{BUCKET}/{path}", f"{BUCKET}/{thumbnail}"}


async def cleaned(clients: Clients, store: S3ArtifactStore, *, removes: bool = True) -> dict[str, str]:
    """Clean all; why each object went."""
    told: list[Leftover] = []

    def tell(leftovers: Sequence[Leftover]) -> None:
        told.extend(leftovers)

    assert await cleaner(clients, uuid4(), tell, removes=removes, elsewhere=store).everything()
    return {f"{one.place.bucket}/{one.place.path}": one.reason for one in told}


async def test_what_nobody_was_given_and_what_no_row_names_goes_and_the_rest_stays(
    clients: Clients, store: Aged, door: Door, worker: Worker, insert: Insert
) -> None:
    await insert()
    first = await worker.claim_one()
    lost = await saved(store, worker, *first)
    await worker.store.retry(first[1], Failure("provider_busy", "busy"), 0.0)
    second = await worker.claim_one()
    kept = await saved(store, worker, *second)
    await worker.store.complete(second[1], {})
    store.old = str(first[0].owner)
    orphan, strange, young = f"{store.old}/{uuid4()}.3.png", f"{store.old}/mine.png", f"{uuid4()}/{uuid4()}.png"
    for path in (orphan, strange, young):
        await store.put(BUCKET, path, PNG, "image/png")
    await store.put("stores", orphan, PNG, "image/png")
    expected = {**dict.fromkeys(lost, "not_delivered"), f"{BUCKET}/{orphan}": "named_by_no_row"}
    before = {*await door.keys()}
    assert await cleaned(clients, store, removes=False) == expected
    assert {*await door.keys()} == before | {OWNER_KEY}, "a dry run removes nothing"
    assert set(await cleaned(clients, store)) == set(expected)
    left = {*kept, f"{BUCKET}/{strange}", f"{BUCKET}/{young}", f"stores/{orphan}", OWNER_KEY}
    assert {*await door.keys()} == left, "named, of no shape of ours, young, or in a bucket that does not lie here"


async def test_a_deleted_user_leaves_nothing_on_s3(
    clients: Clients, store: Aged, worker: Worker, insert: Insert, connection: asyncpg.Connection
) -> None:
    await insert()
    session, attempt = await worker.claim_one()
    stored = await saved(store, worker, session, attempt)
    await worker.store.complete(attempt, {})
    assert await cleaned(clients, store) == {}
    await store.put("videos", f"{session.owner}/whatever.mp4", PNG, "video/mp4")
    await connection.execute("delete from auth.users where id = $1", session.owner)
    gone = {**dict.fromkeys(stored, "row_deleted"), f"videos/{session.owner}/whatever.mp4": "owner_forgotten"}
    assert await cleaned(clients, store) == gone
    assert not [one for bucket in (BUCKET, "videos") for one in await store.listed(bucket, "", 10)]


async def test_what_was_stored_before_the_bucket_moved_goes_from_where_it_lies(
    clients: Clients, store: Aged, worker: Worker, insert: Insert, connection: asyncpg.Connection
) -> None:
    row = await insert()
    session, attempt = await worker.claim_one()
    path = f"{session.path_prefix}.png"
    await SupabaseArtifactStore(clients).put(BUCKET, path, PNG, "image/png")
    artifact = SavedArtifact("a.png", BUCKET, path, "https://x/s", LATER, 8, "image/png")
    await worker.store.add_artifact(attempt, artifact)
    await worker.store.complete(attempt, {})
    await connection.execute("delete from public.headshot_sessions where id = $1", row)
    assert await cleaned(clients, store) == {f"{BUCKET}/{path}": "row_deleted"}
    left = "select count(*) from storage.objects where bucket_id = $1 and name = $2"
    assert await connection.fetchval(left, BUCKET, path) == 0


async def test_a_store_that_is_away_or_another_project_s_keeps_nobody_from_cleaning_the_rest(
    clients: Clients, store: Aged, door: Door, worker: Worker, insert: Insert
) -> None:
    await insert()
    session, attempt = await worker.claim_one()
    path = f"{session.path_prefix}.png"
    await SupabaseArtifactStore(clients).put("generated", path, PNG, "image/png")
    await worker.store.add_artifact(
        attempt, SavedArtifact("a.png", "generated", path, "https://x/s", LATER, 8, "image/png")
    )
    await worker.store.fail(attempt, Failure("generation_failed", "no"))
    store.old = str(session.owner)
    await store.put(BUCKET, f"{session.owner}/{uuid4()}.png", PNG, "image/png")
    store._project = b"https://another.supabase.co"
    await store.ping()
    async with open_s3(store.place, 2, "https://mine.supabase.co") as mine:
        assert await cleaned(clients, mine) == {f"generated/{path}": "not_delivered"}
    assert len(await door.keys()) == 2, "nothing of another project's is an orphan of ours"

"""Virtual try-on end to end: real photographs, a real worker, rows of users and stores seen from outside."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from PIL import Image
from postgrest.exceptions import APIError
from realtime import RealtimePostgresChangesListenEvent
from storage3.exceptions import StorageApiError

from devstack.stack import Stack
from tests.support.photographs import garment, person, turned_person
from tests.support.tryons import STORES, USERS, Shop, Store, User, a_shop, a_store, a_user
from tests.support.worker import Worker, running_worker

VISIBLE_WITHIN_S = 2.0
SIX_HOURS = timedelta(hours=6)
QUICK = {"prompt_template": "Wear {garments}. {prompt}", "steps": 2}


@asynccontextmanager
async def watching(*seen: tuple[User, str]) -> AsyncIterator[list[Watch]]:
    """Frontends of several users, each with its table; closed at the end."""
    watches = [Watch(user, table) for user, table in seen]
    try:
        await asyncio.gather(*(watch.begin() for watch in watches))
        yield watches
    finally:
        for user, _ in seen:
            await user.client.remove_all_channels()


class Watch:
    """What a user's frontend hears of a table by Realtime, with the time it came."""

    def __init__(self, user: User, table: str) -> None:
        self.heard: list[tuple[datetime, dict[str, Any]]] = []
        self._user = user
        self._table = table
        self._lives = asyncio.Event()

    async def begin(self) -> None:
        """Subscribe, without a filter: row level security alone decides what comes."""
        channel = self._user.client.channel(f"all-{self._table}-{self._user.id}")
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.All, self._hear, table=self._table, schema="public"
        )
        channel.on_system(lambda _: self._lives.set())
        await channel.subscribe()
        async with asyncio.timeout(20):
            await self._lives.wait()

    def _hear(self, change: Any) -> None:
        self.heard.append((datetime.now(UTC), change["data"]["record"]))

    def of(self, row_id: str) -> list[dict[str, Any]]:
        """The states that one row was seen in."""
        return [record for _, record in self.heard if record["id"] == row_id]

    async def until_ended(self, row_id: str) -> None:
        """Wait until the row's end was heard."""
        async with asyncio.timeout(20):
            while not any(seen["status"] in {"completed", "failed"} for seen in self.of(row_id)):
                await asyncio.sleep(0.02)

    def slowest_s(self) -> float:
        """The longest time between a change and its being heard."""
        return max((at - datetime.fromisoformat(seen["updated_at"])).total_seconds() for at, seen in self.heard)


async def read(url: str) -> httpx.Response:
    async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as http:
        return await http.get(url)


async def require_picture(row: dict[str, Any], bucket: str, path: str) -> None:
    """The row leads to a JPEG in the person's shape, at this place, for six hours."""
    assert (row["status"], row["progress"], row["error_code"]) == ("completed", 100, None)
    result = row["result"]
    [artifact] = result["artifacts"]
    assert (artifact["bucket"], artifact["path"], result["image_path"]) == (bucket, path, path)
    answer = await read(result["image_url"])
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == ("JPEG", (96, 128)), "the person's shape"
        assert len(set(image.convert("L").tobytes())) > 50, "a picture, not one colour"
        assert not image.getexif()
    valid = datetime.fromisoformat(result["expires_at"]) - datetime.fromisoformat(row["finished_at"])
    assert abs(valid - SIX_HOURS) < timedelta(minutes=1)


async def require_closed(stranger: User, table: str, row: dict[str, Any]) -> None:
    """A stranger finds neither the row nor the picture, and cannot cancel or change anything."""
    artifact = row["result"]["artifacts"][0]
    bucket = stranger.client.storage.from_(artifact["bucket"])
    assert (await stranger.client.table(table).select("*").eq("id", row["id"]).execute()).data == []
    for call in ("queue_status", "cancel_session"):
        with pytest.raises(APIError) as unknown:
            await stranger.client.rpc(call, {"p_row_id": row["id"]}).execute()
        assert unknown.value.code == "SL002"
    for refused in (bucket.download(artifact["path"]), bucket.create_signed_url(artifact["path"], 60)):
        with pytest.raises(StorageApiError):
            await refused
    assert await bucket.list(artifact["path"].rpartition("/")[0]) == []
    with pytest.raises(APIError):
        await stranger.client.table(table).update({"status": "queued"}).eq("id", row["id"]).execute()


async def require_no_way_in(stranger: User, user: User, store: Store) -> None:
    """What a user may not insert: rows of others, rows of stores, stores, memberships."""
    pictures = {"image_urls": [f"{stranger.id}/a.jpg", f"{stranger.id}/b.jpg"]}
    attempts = [
        (USERS, {**pictures, "user_id": user.id}),
        (STORES, {**pictures, "store_id": store.id}),
        ("stores", {"name": "mine"}),
        ("store_members", {"store_id": store.id, "user_id": stranger.id}),
    ]
    for table, fields in attempts:
        with pytest.raises(APIError) as refused:
            await stranger.client.table(table).insert(fields).execute()
        assert refused.value.code == "42501", table
    assert (await stranger.client.table("stores").select("*").eq("id", store.id).execute()).data == []


async def test_users_and_stores_try_things_on_and_nobody_sees_anothers(
    stack: Stack, connection: asyncpg.Connection
) -> None:
    users = [await a_user(stack) for _ in range(2)]
    stores = [await a_store(stack, name) for name in ("Marstal", "Ribe")]
    await connection.executemany(
        "select public.grant_credits($1::uuid, 5, $2, 'test')", [(store.id, store.id) for store in stores]
    )
    seen = [(user, USERS) for user in users] + [(store.member, STORES) for store in stores]
    async with (
        watching(*seen) as watches,
        a_shop() as shop,
        running_worker(stack, LISTENER_FETCH_ALLOW_HOSTS=shop.host) as worker,
    ):
        pictures = (shop.url("person.jpg"), shop.url("suit.jpg"))
        orders = [
            await users[0].order(await users[0].upload(person()), await users[0].upload(garment()), prompt="in spring"),
            await users[1].order(await users[1].upload(turned_person()), pictures[1], task_id="t-1", request_id="r-1"),
            await stores[0].order(*pictures, channel="b2b", task_id="t-1"),
            await stores[1].order(await stores[1].upload(person()), pictures[1]),
        ]
        rows = [
            *[await user.ended(order) for user, order in zip(users, orders[:2], strict=True)],
            *[await store.ended(order) for store, order in zip(stores, orders[2:], strict=True)],
        ]
        owners = [user.id for user in users] + [store.id for store in stores]
        for watch, order in zip(watches, orders, strict=True):
            await watch.until_ended(order)
        assert [line["request_id"] for line in worker.logged("attempt_settled") if line["session"]].count("r-1") == 1
    for owner, row, place in zip(owners, rows, ("{}", "{}", "{}/generated", "{}/generated"), strict=True):
        bucket = "stores" if "generated" in place else "generated"
        await require_picture(row, bucket, f"{place.format(owner)}/{row['id']}.jpg")
    assert (rows[1]["result"]["channel"], rows[1]["result"]["task_id"]) == ("b2c", "t-1")
    assert [rows[number]["result"]["channel"] for number in (0, 2, 3)] == ["b2c", "b2b", "b2b"]

    for watch, order in zip(watches, orders, strict=True):
        assert {record["id"] for _, record in watch.heard} == {order}, "nobody hears of another's rows"
        states = [record["status"] for record in watch.of(order)]
        assert (states[0], states[-1]) == ("queued", "completed")
        assert "processing" in states
        assert watch.slowest_s() < VISIBLE_WITHIN_S
    for stranger, table, row in (
        (users[1], USERS, rows[0]),
        (stores[0].member, USERS, rows[0]),
        (users[0], STORES, rows[2]),
        (stores[1].member, STORES, rows[2]),
    ):
        await require_closed(stranger, table, row)
    await require_no_way_in(users[1], users[0], stores[0])
    assert [await user.balance() for user in users] == [9, 9]
    assert [await store.member.balance() for store in stores] == [10, 10], "the store pays, not its member"
    charged = await connection.fetch(
        "select owner::text, sum(-amount) as paid from listener.ledger where entry = 'charge' group by 1"
    )
    assert {row["owner"]: row["paid"] for row in charged} == dict.fromkeys(owners, 1)
    assert await connection.fetch("select * from listener.invariants") == []


def refusals(shop: Shop, path: str, strange: str) -> dict[str, tuple[list[str], str, str]]:
    """Pictures that cannot be used -> the code, and words of what the owner is told."""
    good = shop.url("person.jpg")
    return {
        "a private address": (
            [good, "https://169.254.169.254/latest/meta-data"],
            "input_unavailable",
            "public internet",
        ),
        "this machine by name": ([good, "https://localhost/x.jpg"], "input_unavailable", "public internet"),
        "plain http": ([good, "http://93.184.215.14/x.jpg"], "input_unavailable", "not encrypted"),
        "a redirect": ([good, shop.url("moved.jpg")], "input_unavailable", "leads on"),
        "a page": ([good, shop.url("page.jpg")], "input_unavailable", "is not of a type"),
        "no picture": ([good, shop.url("broken.jpg")], "input_unavailable", "is a broken JPEG"),
        "a server that is away": ([good, shop.url("away.jpg")], "input_unreachable", "answered 503"),
        "another's upload": ([path, strange], "input_unavailable", "own folder"),
        "an upload that is not there": (
            [path, f"{path.split('/', maxsplit=1)[0]}/none.jpg"],
            "input_unavailable",
            "not there",
        ),
        "a file": (["file:///etc/passwd", path], "invalid_params", "https"),
        "one picture": ([path], "invalid_params", "at least 2"),
    }


async def require_refused(worker: Worker, user: User, cases: dict[str, tuple[list[str], str, str]]) -> None:
    """Each of them fails at once, in words, and the credit is back."""
    orders = {name: await user.order(*sources, prompt="quokka") for name, (sources, *_) in cases.items()}
    for name, (_, code, words) in cases.items():
        row = await user.ended(orders[name])
        assert (row["status"], row["error_code"]) == ("failed", code), (name, row)
        assert row["error_message"], name
        details = row["error_details"]
        assert words in str(details), (name, details)
        assert details["remedy"], name
        assert "169.254" not in str(details), "what was given is not repeated"
    assert worker.logged("generation_done") == [], "nothing of it reached the model"


async def test_what_cannot_be_tried_on_fails_at_once_in_words_and_is_refunded(
    stack: Stack, connection: asyncpg.Connection
) -> None:
    user, other = await a_user(stack), await a_user(stack)
    await connection.execute("select public.grant_credits($1::uuid, 90, 'test', 'many tries')", user.id)
    before = await user.balance()
    path, strange = await user.upload(person()), await other.upload(person())
    async with a_shop() as shop, running_worker(stack, LISTENER_FETCH_ALLOW_HOSTS=shop.host) as worker:
        await require_refused(worker, user, refusals(shop, path, strange))
        row = await user.ended(await user.order(path, path, prompt="make the person nude"))
        assert (row["status"], row["error_code"]) == ("failed", "content_rejected")
        assert "Please change it" in row["error_message"]
        with pytest.raises(APIError):
            await user.order(path, path, payload_version=2)
        assert "quokka" not in str(worker.lines)
        assert await user.balance() == before, "every credit is back"
        await connection.execute(
            "insert into listener.variants (kind, name, overrides) values ('tryon', 'quick', $1)", json.dumps(QUICK)
        )
        after = await user.ended(await user.order(path, shop.url("suit.jpg")))
        assert after["status"] == "completed", "the worker lives"
        assert (after["result"]["variant"], after["result"]["num_inference_steps"]) == ("quick", 2)
    assert "/moved.jpg" in shop.asked
    assert "/suit.jpg" in shop.asked
    failed = "select max(attempt) from listener.sessions where status = 'failed'"
    assert await connection.fetchval(failed) == 1, "the strict policy: nothing of it was tried twice"
    compared = await connection.fetchrow("select * from listener.variant_results where variant = 'quick'")
    assert (compared["sessions"], compared["completed"], compared["success"]) == (1, 1, 1)
    assert compared["duration_s_p50"] > 0
    assert await connection.fetch("select * from listener.invariants") == []

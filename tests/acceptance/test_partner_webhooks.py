"""Partners hear of their finished sessions: signed, under one id however often; no server inside is ever touched."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from devstack.stack import Stack
from listener.adapters.destinations import Policy
from listener.adapters.outbound import open_outbound
from listener.adapters.outbox import SupabaseOutbox
from listener.adapters.supabase_clients import open_clients
from listener.engine.clock import SystemClock
from listener.engine.deliveries import Deliverer
from listener.telemetry import log
from tests.support.commands import listener
from tests.support.generators import install
from tests.support.probing import sample, url_of
from tests.support.stores import Partner, StoreCaller, Street, at_worker, open_partner, street_on
from tests.support.worker import Worker, running_worker

HEADSHOTS = """
create table public.store_headshots (
  id uuid primary key default gen_random_uuid(), store_id uuid not null, prompt text not null,
  width integer, height integer
);
alter table public.store_headshots enable row level security;
select listener.watch('public.store_headshots', kind => 'headshot', owner_column => 'store_id', credits => 1);
update listener.session_tables set tells_partner = true where relation = 'public.store_headshots'::regclass;
"""
PATH = "/api/sessions/headshot"
PORTRAIT = {"prompt": "a calm portrait", "width": 64, "height": 64}
DUE = "update listener.deliveries set next_at = listener.clock() where ended_at is null"
BRISK = {"LISTENER_SOURCES": "sweep", "LISTENER_SWEEP_S": "0.3", "LISTENER_LEASE_S": "6"}


@pytest.fixture
async def street(stack: Stack) -> AsyncIterator[Street]:
    async with street_on(stack) as opened:
        yield opened


@pytest.fixture
async def partner() -> AsyncIterator[Partner]:
    async with open_partner() as opened:
        yield opened


class Sender:
    """A deliverer in this process and what it counted."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.deliverer: Deliverer
        self.task: asyncio.Task[None]

    async def until(self, *outcomes: str) -> None:
        async with asyncio.timeout(20):
            while self.ended != list(outcomes):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def sending(stack: Stack, *allowed: Partner) -> AsyncIterator[Sender]:
    """Deliver as a worker does, every 50 ms; hosts that are not `allowed` are judged as everybody's are."""
    sender = Sender()
    policy = Policy(frozenset(one.url.removeprefix("http://") for one in allowed))
    async with open_clients(stack.url, stack.keys.service_role_key, 2) as clients, open_outbound(policy) as outbound:
        sender.deliverer = Deliverer(
            SupabaseOutbox(clients.calls, uuid4()),
            outbound,
            SystemClock(),
            interval_s=0.05,
            count=sender.ended.append,
            log=log.get("test"),
        )
        sender.task = asyncio.create_task(sender.deliverer.run())
        try:
            yield sender
        finally:
            sender.deliverer.stop()
            await asyncio.wait({sender.task}, timeout=15)


async def told(street: Street, partner: Partner, path: str = "/hook") -> StoreCaller:
    """A store whose partner listens."""
    store = await street.store()
    secret = await street.operator.stores.set_webhook(store.id, partner.url + path, active=True)
    assert secret is not None
    partner.secret = secret
    return store


async def finish(store: StoreCaller) -> str:
    """End a session of the store's."""
    session = str((await store.submit()).data["id"])
    assert (await store.cancel(session)).status == 200
    return session


async def test_a_store_is_told_what_became_of_its_session_and_reads_its_picture(
    stack: Stack, connection: asyncpg.Connection[Any], partner: Partner, tmp_path: Path
) -> None:
    await connection.execute(HEADSHOTS)
    async with _worker(stack, partner, tmp_path) as worker, at_worker(stack, url_of(worker)) as street:
        store = await told(street, partner)
        refused = await store.submit({**PORTRAIT, "width": 65}, path=PATH)
        assert (refused.status, refused.body["error"]["details"]["fields"][0]["field"]) == (422, "width")
        made = await store.submit(PORTRAIT, "order-7", PATH)
        assert made.status == 201
        await partner.until(1)
        ((webhook_id, body),) = partner.got
        assert (body["type"], body["data"]["session_id"], body["data"]["status"]) == (
            "session.completed",
            made.data["id"],
            "completed",
        )
        (shown,) = body["data"]["result"]["artifacts"]
        assert (shown["width"], shown["content_type"]) == (64, "image/png")
        assert not [word for word in ("token=", "http", str(store.id)) if word in str(body["data"]["result"])]
        finished = (await store.get(f"/api/sessions/{made.data['id']}")).data
        (artifact,) = finished["result"]["artifacts"]
        assert (finished["status"], finished["progress"], set(artifact) & {"path", "bucket"}) == (
            "completed",
            100,
            set(),
        )
        assert (finished["result"]["image_url"], "image_path" in finished["result"]) == (artifact["url"], False)
        async with aiohttp.ClientSession() as anybody, anybody.get(artifact["url"]) as answer:
            assert (answer.status, (await answer.read())[:4]) == (200, b"\x89PNG")
        await worker.until_logged("delivery_ended")
        assert await sample(worker, "listener_deliveries_total", outcome="delivered") == 1
        written = str(worker.lines)
        assert not [word for word in (partner.url, partner.secret, store.key, "token=") if word in written]
    report = await listener("deliveries", str(store.id), place=stack)
    assert report.status == 0
    assert report.said.splitlines()[1].split()[:4] == [webhook_id, made.data["id"], "session.completed", "delivered"]


async def test_a_killed_sender_s_delivery_comes_again_under_the_same_id(
    stack: Stack, connection: asyncpg.Connection[Any], partner: Partner, tmp_path: Path
) -> None:
    partner.hold = asyncio.Event()
    async with _worker(stack, partner, tmp_path) as worker, at_worker(stack, url_of(worker)) as street:
        session = await finish(await told(street, partner))
        await partner.until(1)
        worker.send(signal.SIGKILL)
        await worker.process.wait()
        partner.hold.set()
    await connection.execute(DUE)  # nobody waits here for the minute after which it is taken from the dead worker
    async with sending(stack, partner) as sender:
        await partner.until(2)
        await sender.until("delivered")
    (first, _), (second, body) = partner.got
    assert (first, body["data"]["session_id"]) == (second, session)
    assert dict(await connection.fetchrow("select status, attempt, failures from listener.deliveries")) == {
        "status": "delivered",
        "attempt": 2,
        "failures": 1,
    }


async def test_every_answer_but_2xx_is_tried_again_later_and_410_is_the_last(
    stack: Stack, street: Street, connection: asyncpg.Connection[Any], partner: Partner
) -> None:
    store = await told(street, partner)
    partner.answers = [500, 302, 429, 204, 410]
    await finish(store)
    async with sending(stack, partner) as sender:
        for count in (1, 2, 3):
            await sender.until(*["retry"] * count)
            waits_s = await connection.fetchval(
                "select extract(epoch from next_at - listener.clock()) from listener.deliveries"
            )
            assert waits_s > 3, "not before its time"
            await connection.execute(DUE)
        await sender.until("retry", "retry", "retry", "delivered")
        assert len({webhook_id for webhook_id, _ in partner.got}) == 1
        assert len(partner.got) == 4, "a redirect is not followed"
        rotated = await street.operator.stores.rotate_secret(store.id)
        assert rotated not in (None, partner.secret)
        await finish(store)  # verified by the old secret, which signs beside the new one
        await sender.until("retry", "retry", "retry", "delivered", "gone")
        partner.secret = str(rotated)
        assert (await street.operator.stores.report(store.id, 1)).webhook.active is False  # type: ignore[union-attr]
        await finish(store)
        assert await connection.fetchval("select count(*) from listener.deliveries") == 2, "nobody is told any more"


async def test_an_address_that_leads_inside_is_never_connected(
    stack: Stack, street: Street, connection: asyncpg.Connection[Any], partner: Partner
) -> None:
    port = partner.url.rsplit(":", 1)[1]
    hosts = ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "127.1", "0.0.0.0")
    store = await told(street, partner)
    async with sending(stack) as sender:
        for host in hosts:
            for scheme in ("http", "https"):
                await street.operator.stores.set_webhook(store.id, f"{scheme}://{host}:{port}/hook", active=True)
                await finish(store)
                await sender.until(*["refused"] * (len(sender.ended) + 1))
    assert partner.connected == 0
    found = await connection.fetch("select distinct status, last_error from listener.deliveries")
    assert {row["status"] for row in found} == {"dead"}
    assert not [row for row in found if port in row["last_error"]]


async def test_who_answers_too_late_is_tried_again_and_what_is_cut_short_is_given_back(
    stack: Stack, street: Street, connection: asyncpg.Connection[Any], partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await told(street, partner)
    partner.hold = asyncio.Event()
    await finish(store)
    async with sending(stack, partner) as sender:
        await partner.until(1)
        sender.task.cancel()
        await asyncio.wait({sender.task})
        assert sender.ended == ["released"]
    kept = "select status, failures, next_at <= listener.clock() as due from listener.deliveries"
    assert dict(await connection.fetchrow(kept)) == {"status": "waiting", "failures": 0, "due": True}
    monkeypatch.setattr("listener.engine.deliveries.TIMEOUT_S", 0.3)
    async with sending(stack, partner) as sender:
        await sender.until("retry")
    assert "longer than 0.3 s" in await connection.fetchval("select last_error from listener.deliveries")
    partner.hold.set()
    assert len({webhook_id for webhook_id, _ in partner.got}) == 1


async def test_a_secret_that_nobody_can_sign_with_stops_nobody_else(
    stack: Stack, street: Street, connection: asyncpg.Connection[Any], partner: Partner
) -> None:
    broken = await street.store()
    await street.operator.stores.set_webhook(broken.id, f"{partner.url}/broken", active=True)
    await connection.execute("update listener.partner_webhooks set secrets = $1", ["whsec_" + "A" * 33])
    await finish(broken)
    async with sending(stack, partner) as sender:
        await sender.until("retry")
        session = await finish(await told(street, partner))
        await sender.until("retry", "delivered")
    assert [body["data"]["session_id"] for _, body in partner.got] == [session]
    assert "not made: " in await connection.fetchval("select last_error from listener.deliveries where failures = 1")


async def test_a_partner_hears_of_its_own_sessions_alone(stack: Stack, street: Street, partner: Partner) -> None:
    async with open_partner() as other:
        mine, theirs = await told(street, partner), await told(street, other)
        sessions = [await finish(mine) for _ in range(3)]
        foreign = await finish(theirs)
        await finish(await street.store())
        async with sending(stack, partner, other) as sender:
            await sender.until(*["delivered"] * 4)
        assert {body["data"]["session_id"] for _, body in partner.got} == set(sessions)
        assert [body["data"]["session_id"] for _, body in other.got] == [foreign]


@asynccontextmanager
async def _worker(stack: Stack, partner: Partner, folder: Path) -> AsyncIterator[Worker]:
    grey = install(folder / "site")
    allowed = {"LISTENER_FETCH_ALLOW_HOSTS": partner.url.removeprefix("http://"), "LISTENER_KINDS": "headshot"}
    async with running_worker(stack, **BRISK, **grey.settings, **allowed) as worker:
        yield worker

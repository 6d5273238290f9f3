"""The Realtime source against the embedded stack's own Realtime, with real inserts and real heartbeats."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from devstack.stack import Stack
from listener.adapters.rpc import RpcSessionStore
from listener.adapters.supabase_clients import open_clients
from listener.engine.clock import SystemClock
from listener.ports import Registration
from listener.sources.epoch import Bounds, Project
from listener.sources.live import RealtimeSource
from listener.telemetry import log
from tests.sources.test_live import Woken
from tests.support.app import insert, signed_in
from tests.support.target import Target


async def test_an_insert_of_an_app_wakes_and_the_heartbeat_comes_back(project: Target) -> None:
    worker = uuid4()
    heard = Project(project.url, project.service_role_key, worker)
    source, woken = RealtimeSource(heard, SystemClock(), log.get("test"), Bounds(canary_s=3.0)), Woken()
    async with open_clients(project.url, project.service_role_key, 1) as clients, asyncio.TaskGroup() as group:
        store = RpcSessionStore(clients.calls, worker)
        registered = await store.register(Registration(worker, "test", ("headshot",), 1, "0", 30))
        task = group.create_task(source.run(woken))
        source.watch(registered.tables)
        await woken.count("realtime_joined")
        client = await signed_in(project)
        await insert(client)
        await woken.count("realtime")
        assert source._epoch is not None
        sent_at = source._clock.monotonic()
        await store.heartbeat([], [])
        async with asyncio.timeout(3):
            while source._epoch._canary_at < sent_at:
                await asyncio.sleep(0.01)
        task.cancel()


async def test_a_muted_realtime_is_noticed_by_its_canary(stack: Stack, connection: asyncpg.Connection) -> None:
    worker = uuid4()
    project = Project(stack.url, stack.keys.service_role_key, worker)
    source, woken = RealtimeSource(project, SystemClock(), log.get("test"), Bounds(canary_s=0.5)), Woken()
    async with open_clients(stack.url, stack.keys.service_role_key, 1) as clients, asyncio.TaskGroup() as group:
        store = RpcSessionStore(clients.calls, worker)
        registered = await store.register(Registration(worker, "test", ("headshot",), 1, "0", 30))
        task = group.create_task(source.run(woken))
        source.watch(registered.tables)
        await woken.count("realtime_joined")
        stack.faults.realtime_muted = True
        sent_at = source._clock.monotonic()
        await store.heartbeat([], [])
        assert await connection.fetchval("select beats from listener.workers where id = $1", worker) == 1
        source.beat_sent(sent_at)
        await woken.count("realtime_lost")
        assert source.last_loss == "no canary within 0.5 s"
        stack.faults.realtime_muted = False
        task.cancel()


async def test_the_anon_key_cannot_hear_the_canary(project: Target) -> None:
    heard = Project(project.url, project.anon_key, uuid4())
    source, woken = RealtimeSource(heard, SystemClock(), log.get("test"), Bounds(canary_s=0.3, live_s=3)), Woken()
    async with open_clients(project.url, project.service_role_key, 1) as clients, asyncio.TaskGroup() as group:
        store = RpcSessionStore(clients.calls, heard.worker)
        registered = await store.register(Registration(heard.worker, "test", ("headshot",), 1, "0", 30))
        task = group.create_task(source.run(woken))
        source.watch(registered.tables)
        with pytest.raises(TimeoutError):
            await woken.until(lambda: source._epoch is not None and source._epoch._canary_at > 0, within_s=1)
        task.cancel()

"""The Realtime source is crash-only: whatever happens to an epoch, the next one begins, and every loss is a wake-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from listener.engine.clock import SystemClock
from listener.ports import WatchedTable
from listener.sources import epoch as epoch_module
from listener.sources.epoch import Bounds, Project
from listener.sources.live import RealtimeSource
from listener.telemetry import log
from tests.sources.scripted_realtime import ScriptedRealtime

SESSIONS = WatchedTable("public", "headshot_sessions", "headshot")
QUICK = Bounds(join_s=2.0, live_s=0.3, canary_s=0.2, first_delay_s=0.02, limited_delay_s=1.0)


class Woken:
    """The reasons of all wake-ups, and a way to wait for one."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        self._changed.set()

    async def until(self, seen: Callable[[], Any], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not seen():
                self._changed.clear()
                await self._changed.wait()

    async def count(self, reason: str, times: int = 1) -> None:
        await self.until(lambda: self.reasons.count(reason) >= times)


@asynccontextmanager
async def source_of(server: ScriptedRealtime, bounds: Bounds = QUICK) -> AsyncIterator[tuple[RealtimeSource, Woken]]:
    project = Project(server.url, "service-key", uuid4())
    source, woken = RealtimeSource(project, SystemClock(), log.get("test"), bounds), Woken()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(source.run(woken))
        source.watch([SESSIONS])
        yield source, woken
        task.cancel()
    leftover = [task for task in asyncio.all_tasks() if "realtime/_async" in repr(task)]
    assert leftover == [], "the library's tasks are gone with the source"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedRealtime]:
    async with ScriptedRealtime().listening() as listening:
        yield listening


async def test_an_insert_wakes_and_carries_nothing(server: ScriptedRealtime) -> None:
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        assert source.fresh()
        await server.change("INSERT", "public", "headshot_sessions")
        await woken.count("realtime")


async def test_the_canary_shares_the_channel_of_the_inserts(server: ScriptedRealtime) -> None:
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
    (join,) = server.joins
    bindings = join["config"]["postgres_changes"]
    assert [(one["event"], one["schema"], one["table"]) for one in bindings] == [
        ("INSERT", "public", "headshot_sessions"),
        ("UPDATE", "listener", "workers"),
    ]
    assert bindings[1]["filter"] == f"id=eq.{source._project.worker}"


async def test_a_joined_channel_is_not_fresh_before_the_system_message_and_is_given_up_without_it(
    server: ScriptedRealtime,
) -> None:
    server.says_subscribed = False
    async with source_of(server) as (source, woken):
        await server.until(lambda: server.joins)
        assert not source.fresh()
        await woken.count("realtime_lost")
        assert "never came" in source.last_loss
        server.says_subscribed = True
        await woken.count("realtime_joined")
        assert source.fresh()
    assert len(set(server.topics)) == len(server.topics), "every epoch has a topic of its own"


async def test_a_raising_callback_ends_the_epoch_instead_of_silencing_it(
    server: ScriptedRealtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_self: Any, _frame: Any) -> None:
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as broken:
        broken.setattr(epoch_module.Epoch, "_on_insert", breaks)
        async with source_of(server) as (source, woken):
            await woken.count("realtime_joined")
            await server.change("INSERT", "public", "headshot_sessions")
            await woken.count("realtime_lost")
            assert source.last_loss == "a callback raised"
            await woken.count("realtime_joined", 2)


async def test_a_canary_that_does_not_come_back_ends_the_epoch(server: ScriptedRealtime) -> None:
    """The socket is up, the channel joined, heartbeats are answered: only the changes have stopped."""
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        source.beat_sent(source._clock.monotonic())
        await woken.count("realtime_lost")
        assert source.last_loss == "no canary within 0.2 s"
        await woken.count("realtime_joined", 2)


async def test_a_canary_that_comes_back_keeps_the_epoch(server: ScriptedRealtime) -> None:
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        for _ in range(3):
            source.beat_sent(source._clock.monotonic())
            await server.change("UPDATE", "listener", "workers")
            with pytest.raises(TimeoutError):
                await woken.until(lambda: "realtime_lost" in woken.reasons, within_s=0.3)
        assert source.fresh()


async def test_a_canary_that_overtakes_the_answer_of_its_heartbeat_counts(server: ScriptedRealtime) -> None:
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        sent_at = source._clock.monotonic()
        await server.change("UPDATE", "listener", "workers")
        await server.change("INSERT", "public", "headshot_sessions")
        await woken.count("realtime")
        source.beat_sent(sent_at)
        with pytest.raises(TimeoutError):
            await woken.until(lambda: "realtime_lost" in woken.reasons, within_s=0.3)


async def test_a_heartbeat_older_than_the_subscription_proves_nothing(server: ScriptedRealtime) -> None:
    async with source_of(server) as (source, woken):
        before = source._clock.monotonic()
        await woken.count("realtime_joined")
        source.beat_sent(before)
        with pytest.raises(TimeoutError):
            await woken.until(lambda: "realtime_lost" in woken.reasons, within_s=0.4)


@pytest.mark.parametrize("fault", ["system error", "phx_close", "phx_error", "socket closed", "socket reset"])
async def test_whatever_ends_the_channel_the_next_epoch_joins(server: ScriptedRealtime, fault: str) -> None:
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        if fault == "system error":
            await server.system("error", "Unable to subscribe to changes with given parameters")
        elif fault == "socket closed":
            await server.sockets[-1].close(code=1012)
        elif fault == "socket reset":
            transport = server.sockets[-1]._req.transport  # type: ignore[union-attr]
            assert transport is not None
            transport.abort()
        else:
            await server.frame(fault, {})
        await woken.count("realtime_lost")
        await woken.count("realtime_joined", 2)
        assert source.fresh()


async def test_a_refused_join_is_tried_again(server: ScriptedRealtime) -> None:
    server.join_error = "TenantNotFound"
    async with source_of(server) as (source, woken):
        await woken.count("realtime_lost")
        assert "TenantNotFound" in source.last_loss
        server.join_error = None
        await woken.count("realtime_joined")


async def test_a_server_that_went_and_came_back_is_joined_again() -> None:
    server = ScriptedRealtime()
    async with server.listening(), source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        server.refusal = 503
        await server.sockets[-1].close(code=1001)
        await woken.count("realtime_lost", 8)  # more tries than the library itself ever makes
        assert not source.fresh()
        server.refusal = None
        await woken.count("realtime_joined", 2)
        assert source.fresh()


async def test_another_set_of_tables_begins_a_new_epoch_at_once_and_the_same_set_does_not(
    server: ScriptedRealtime,
) -> None:
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        source.watch([SESSIONS])
        source.watch([])
        source.watch([SESSIONS, WatchedTable("public", "tryon_sessions", "tryon")])
        await woken.count("realtime_joined", 2)
    assert [len(join["config"]["postgres_changes"]) for join in server.joins] == [2, 3]


async def test_a_connection_is_renewed_before_the_server_cuts_it(server: ScriptedRealtime) -> None:
    async with source_of(server, Bounds(live_s=1, canary_s=1, age_s=0.1)) as (source, woken):
        await woken.count("realtime_joined", 3)
        assert source.last_loss == "renewal"


async def test_a_second_subscribed_message_is_a_wake_up(server: ScriptedRealtime) -> None:
    """The server subscribed anew: what came in between was not announced."""
    async with source_of(server) as (_, woken):
        await woken.count("realtime_joined")
        await server.system("ok", "Subscribed to PostgreSQL")
        await woken.count("realtime_subscribed", 2)

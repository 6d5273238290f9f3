"""The traps of Realtime, one by one: each is noticed, ends the epoch, and the next epoch hears again.

What the server does is as recorded from a real one; what the library makes of it is as its version 2.34 does.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from listener.sources import epoch as epoch_module
from tests.sources.scripted_realtime import ScriptedRealtime
from tests.sources.test_live import QUICK, Woken, server, source_of
from tests.support.relay import open_relay

__all__ = ["server"]


async def hears_again(server: ScriptedRealtime, woken: Woken) -> None:
    """An insert wakes once more."""
    before = woken.reasons.count("realtime")
    await server.change("INSERT", "public", "headshot_sessions")
    await woken.count("realtime", before + 1)


@pytest.mark.parametrize("callback", ["_on_insert", "_on_canary", "_on_system", "_on_state"])
async def test_a_callback_that_raises_ends_the_epoch_and_not_the_librarys_reader_in_silence(
    server: ScriptedRealtime, monkeypatch: pytest.MonkeyPatch, callback: str
) -> None:
    real = getattr(epoch_module.Epoch, callback)
    calls = itertools.count()

    def breaks_once(self: Any, *arguments: Any) -> None:
        if next(calls) == 0:
            raise RuntimeError("a fault of ours")
        real(self, *arguments)

    monkeypatch.setattr(epoch_module.Epoch, callback, breaks_once)
    async with source_of(server) as (source, woken):
        if callback in ("_on_insert", "_on_canary"):
            await woken.count("realtime_joined")
            table = ("public", "headshot_sessions") if callback == "_on_insert" else ("listener", "workers")
            await server.change("INSERT" if callback == "_on_insert" else "UPDATE", *table)
        await woken.count("realtime_lost")
        assert source.last_loss == "a callback raised"
        await woken.until(source.fresh)
        await hears_again(server, woken)


async def test_a_half_open_socket_is_noticed_by_the_canary_and_thrown_away(
    server: ScriptedRealtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No close, no reset, no byte: the library itself would notice after 50 s at best."""
    monkeypatch.setattr(epoch_module, "CLOSE_S", 0.3)
    async with open_relay(server.url) as relay:
        direct, server.port = server.port, int(relay.url.rpartition(":")[2])
        async with source_of(server, replace(QUICK, join_s=0.3)) as (source, woken):
            await woken.count("realtime_joined")
            half_open = set(relay._open)
            relay.silent = True
            source.beat_sent(source._clock.monotonic())
            await woken.count("realtime_lost")
            async with asyncio.timeout(5):
                while half_open & relay._open:  # nobody says goodbye: only an aborted connection is gone now
                    await asyncio.sleep(0.02)
            assert source.last_loss == "no canary within 0.2 s"
            await woken.count("realtime_lost", 3)
            assert source.last_loss == "no answer to the connection or the join", "new connections hang as well"
            relay.silent = False
            await woken.until(source.fresh)
            await hears_again(server, woken)
        server.port = direct


async def test_a_token_that_ends_closes_the_channel_and_the_next_epoch_joins(server: ScriptedRealtime) -> None:
    """The socket stays open and the library never rejoins: silent death without an epoch's end."""
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        await server.system("error", "Token has expired 0 seconds ago", extension="system")
        await server.frame("phx_close", {})
        await woken.count("realtime_lost")
        assert "Token has expired" in source.last_loss
        await woken.count("realtime_joined", 2)
        await hears_again(server, woken)
    assert len(server.sockets) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_a_key_that_is_refused_is_offered_again_and_the_reason_is_told(
    server: ScriptedRealtime, status: int
) -> None:
    server.refusal = status
    async with source_of(server) as (source, woken):
        await woken.count("realtime_lost", 3)
        assert f"HTTP {status}" in source.last_loss
        assert "service-key" not in source.last_loss
        server.refusal = None
        await woken.until(source.fresh)


async def test_a_join_with_a_token_that_ended_is_offered_again(server: ScriptedRealtime) -> None:
    server.join_error = "InvalidJWTToken: Token has expired 12 seconds ago"
    async with source_of(server) as (source, woken):
        await woken.count("realtime_lost", 2)
        assert "Token has expired" in source.last_loss
        server.join_error = None
        await woken.until(source.fresh)


async def test_a_topic_is_joined_once_and_never_again_so_no_old_close_can_end_it(server: ScriptedRealtime) -> None:
    """Told of an error the library joins the topic once more, and takes the close of its first join for its own."""
    async with source_of(server) as (source, woken):
        for errors in range(1, 4):
            await woken.count("realtime_joined", errors)
            await server.system("error", "Unable to subscribe to changes, the database is busy")
            await woken.count("realtime_lost", errors)
        await woken.count("realtime_joined", 4)
        # Longer than the library waits before it joins again.
        with pytest.raises(TimeoutError):
            await server.until(lambda: len(server.topics) > 4, within_s=1.5)
        assert source.fresh()
    assert len(set(server.topics)) == len(server.topics) == 4


async def test_a_slot_that_died_is_noticed_although_socket_channel_and_heartbeats_are_well(
    server: ScriptedRealtime,
) -> None:
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        assert source._epoch is not None
        sent = source._clock.monotonic()
        await server.until(lambda: server.heartbeats)
        source.beat_sent(sent)
        await woken.count("realtime_lost")
        assert source.last_loss == "no canary within 0.2 s"
        await woken.until(source.fresh)
        await hears_again(server, woken)


async def test_a_server_that_answers_no_join_is_given_up_and_asked_again(server: ScriptedRealtime) -> None:
    server.answers_joins = False
    async with source_of(server, replace(QUICK, join_s=0.2)) as (source, woken):
        await woken.count("realtime_lost", 2)
        assert source.last_loss == "no answer to the connection or the join"
        assert not source.fresh()
        server.answers_joins = True
        await woken.until(source.fresh)
        await hears_again(server, woken)


async def test_an_outage_longer_than_the_library_ever_tries_ends_in_a_new_connection() -> None:
    """The library gives up for ever after five tries in 15 s; 25 s of a closed port are twelve tries of ours here."""
    server = ScriptedRealtime()
    async with server.listening():
        pass  # the port is known from now on
    async with source_of(server, replace(QUICK, longest_delay_s=0.1)) as (source, woken):
        async with server.listening():
            await woken.until(source.fresh)
        await woken.count("realtime_lost", 12)
        assert not source.fresh()
        async with server.listening():
            await woken.until(source.fresh)
            await hears_again(server, woken)


async def test_a_connection_that_stood_is_followed_by_a_quick_one_whatever_came_before(
    server: ScriptedRealtime,
) -> None:
    server.refusal = 503
    async with source_of(server) as (source, woken):
        await woken.count("realtime_lost", 5)
        server.refusal = None
        await woken.until(source.fresh)
        await server.sockets[-1].close(code=1012)
        await woken.count("realtime_lost", woken.reasons.count("realtime_lost") + 1)
        await woken.until(source.fresh)
        assert source._backoff.failures == 1


@pytest.mark.parametrize("refused", ["connection", "join"])
async def test_a_rate_limit_is_answered_with_patience(server: ScriptedRealtime, refused: str) -> None:
    """Who is told to come less often comes half a minute later (here half a second), and not twenty times a second."""
    async with source_of(server, replace(QUICK, longest_delay_s=0.02)) as (source, woken):
        await woken.count("realtime_joined")
        server.refusal = 429 if refused == "connection" else None
        server.join_error = "ClientJoinRateLimitReached: Too many joins per second" if refused == "join" else None
        await server.sockets[-1].close(code=1011)
        tries_before = server.refused + len(server.joins)
        await woken.count("realtime_lost", 2)
        began = asyncio.get_running_loop().time()
        await woken.count("realtime_lost", 3)
        assert asyncio.get_running_loop().time() - began >= 0.45
        assert server.refused + len(server.joins) - tries_before == 2
        server.refusal = server.join_error = None
        await woken.until(source.fresh)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
async def test_each_code_of_a_close_ends_the_epoch(server: ScriptedRealtime, code: int) -> None:
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        await server.sockets[-1].close(code=code)
        await woken.count("realtime_joined", 2)
        await hears_again(server, woken)
        assert source.fresh()


UNREADABLE = {
    "columns are null": {"ids": [1], "data": {"schema": "public", "table": "headshot_sessions", "columns": None}},
    "no payload": {},
    "another shape": {"ids": "all", "data": []},
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_frame_the_library_cannot_read_costs_one_wake_up_and_no_more(
    server: ScriptedRealtime, name: str
) -> None:
    async with source_of(server) as (source, woken):
        await woken.count("realtime_joined")
        await server.frame("postgres_changes", UNREADABLE[name])
        await server.sockets[-1].send_str("no JSON at all")
        await hears_again(server, woken)
        assert source.fresh()


async def test_a_join_that_is_granted_without_its_bindings_is_no_subscription(
    server: ScriptedRealtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server does with a payload that it cannot read: ok, and nothing is bound."""
    answer = ScriptedRealtime._answer

    async def grants_nothing(self: ScriptedRealtime, socket: Any, frame: dict[str, Any]) -> None:
        if frame["event"] == "phx_join":
            frame["payload"]["config"]["postgres_changes"] = []
        await answer(self, socket, frame)

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedRealtime, "_answer", grants_nothing)
        async with source_of(server) as (source, woken):
            await woken.count("realtime_lost", 2)
            assert "mismatch" in source.last_loss
            assert "realtime_joined" not in woken.reasons

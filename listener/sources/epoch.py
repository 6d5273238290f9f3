"""One life of a Realtime connection: a fresh client, one channel, and everything that can end it.

Knows the library's traps; does not know what comes after the end. It only ever says "look" and "it is over".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates
from realtime.types import RealtimePostgresChangesListenEvent as Event

from listener.contract import Log
from listener.ports import Clock, WatchedTable

SUBSCRIBED = "Subscribed to PostgreSQL"
CLOSE_S = 3.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long what may take. Units: seconds."""

    join_s: float = 15.0
    # A cold tenant answers the join 1.7 to 2.9 s before its database subscription is live.
    live_s: float = 15.0
    canary_s: float = 10.0
    # Connections without a user's JWT are cut after 24 h.
    age_s: float = 20 * 3600.0
    # Between two epochs: it grows from the first to the longest. Who joins too often is let in no sooner by trying.
    first_delay_s: float = 0.5
    longest_delay_s: float = 10.0
    limited_delay_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Project:
    """Which server, as whom, and under which worker's canary."""

    url: str
    key: str
    worker: UUID

    @property
    def realtime_url(self) -> str:
        """Where the library connects to."""
        return f"{self.url.rstrip('/')}/realtime/v1"


class Epoch:
    """Runs once. `live` is true between the server's own word that the subscription stands and the end."""

    def __init__(
        self,
        *,
        project: Project,
        number: int,
        tables: Sequence[WatchedTable],
        wake: Callable[[str], None],
        bounds: Bounds,
        clock: Clock,
        log: Log,
    ) -> None:
        self._project = project
        self._number = number
        self._tables = tables
        self._wake = wake
        self._bounds = bounds
        self._clock = clock
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._subscribed = asyncio.Event()
        self._timers: list[asyncio.TimerHandle] = []
        self._live_since = 0.0
        self._canary_at = 0.0
        self.was_live = False

    @property
    def live(self) -> bool:
        """Whether wake-ups arrive now, as far as is known."""
        return self.was_live and not self._over.done()

    def end(self, reason: str) -> None:
        """End this epoch; the first reason counts."""
        if not self._over.done():
            self._over.set_result(reason)

    def beat_sent(self, at: float) -> None:
        """A heartbeat that left at `at` succeeded: its change has to come back through Realtime in time."""
        if not self.live or at < self._live_since:
            return
        delay_s = max(0.0, at + self._bounds.canary_s - self._clock.monotonic())
        self._timers[1:] = [timer for timer in self._timers[1:] if timer.when() > self._loop.time()]
        self._timers.append(self._loop.call_later(delay_s, self._expect_canary, at))

    async def run(self) -> str:
        """Join, listen until something ends it, and leave nothing behind; the reason is returned."""
        client = AsyncRealtimeClient(self._project.realtime_url, self._project.key, auto_reconnect=False)
        channel = self._channel(client)
        try:
            return await self._listen(client, channel)
        except Exception as error:  # noqa: BLE001 - whatever the library raises ends only this epoch
            return f"{type(error).__name__}: {error}"
        finally:
            self.end("closed")
            for timer in self._timers:
                timer.cancel()
            await _dispose(client, channel)

    async def _listen(self, client: AsyncRealtimeClient, channel: AsyncRealtimeChannel) -> str:
        try:
            async with asyncio.timeout(self._bounds.join_s):
                await channel.subscribe(self._guarded(self._on_state))
        except TimeoutError:
            return "no answer to the connection or the join"
        if not self._over.done():
            await self._until_subscribed()
        internal = [task for task in (client._listen_task, client._heartbeat_task) if task is not None]
        await asyncio.wait([self._over, *internal], return_when=asyncio.FIRST_COMPLETED)
        self.end("a task of the library ended")
        return self._over.result()

    async def _until_subscribed(self) -> None:
        """A joined channel delivers nothing before the server says that the database subscription stands."""
        try:
            async with asyncio.timeout(self._bounds.live_s), asyncio.TaskGroup() as waiting:
                said = waiting.create_task(self._subscribed.wait())
                either: set[asyncio.Future[Any]] = {said, self._over}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                said.cancel()
        except TimeoutError:
            self.end("joined, but the database subscription never came")
            return
        if self._over.done():
            return
        self.was_live = True
        self._live_since = self._clock.monotonic()
        self._timers.append(self._loop.call_later(self._bounds.age_s, self.end, "renewal"))
        self._log.info("realtime_joined", epoch=self._number, tables=len(self._tables))
        self._wake("realtime_joined")

    def _channel(self, client: AsyncRealtimeClient) -> AsyncRealtimeChannel:
        channel = client.channel(f"worker:{self._project.worker}:{self._number}")
        for table in self._tables:
            channel.on_postgres_changes(
                Event.Insert, self._guarded(self._on_insert), table=table.table, schema=table.schema
            )
        # The canary shares the channel: one broken binding silences all of them, so it cannot stay green alone.
        channel.on_postgres_changes(
            Event.Update,
            self._guarded(self._on_canary),
            table="workers",
            schema="listener",
            filter=f"id=eq.{self._project.worker}",
        )
        return channel.on_system(self._guarded(self._on_system))

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """An exception in a callback would kill the library's reader without a word: end the epoch instead."""

        def call(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:  # noqa: BLE001 - see above
                self._log.error("realtime_callback_raised", exc_info=error)
                self.end("a callback raised")

        return call

    def _on_state(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if state is not RealtimeSubscribeStates.SUBSCRIBED:
            self.end(f"{state.value}: {error}" if error else state.value)

    def _on_system(self, payload: Any) -> None:
        if payload.extension == "postgres_changes" and payload.message == SUBSCRIBED:
            self._subscribed.set()
            # Said again when the server subscribed anew: rows in between were lost.
            self._wake("realtime_subscribed")

    def _on_insert(self, _frame: Any) -> None:
        self._wake("realtime")

    def _on_canary(self, _frame: Any) -> None:
        self._canary_at = self._clock.monotonic()

    def _expect_canary(self, sent_at: float) -> None:
        if self._canary_at < sent_at:
            self.end(f"no canary within {self._bounds.canary_s:g} s")


async def _dispose(client: AsyncRealtimeClient, channel: AsyncRealtimeChannel) -> None:
    """Close the socket and the tasks that the library's own close leaves behind."""
    connection = client._ws_connection
    internal = [task for task in (client._listen_task, client._heartbeat_task) if task is not None]
    channel.rejoin_timer.reset()
    channel.join_push.destroy()
    try:
        async with asyncio.timeout(CLOSE_S):
            await client.close()
    except Exception:  # noqa: BLE001 - it is thrown away either way
        if connection is not None:
            connection.transport.abort()
    tasks = [*internal, *channel._background_tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # Whatever still waits for an answer, as the leave that follows a join without its bindings.
    for push in list(channel.messages_waiting_for_ack.values()):
        push.destroy()

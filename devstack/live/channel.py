"""One joined channel: its token, its subscription to the database, its broadcasts, and how it ends.

Knows what a channel answers to each event; the socket and the other channels are behind `Services` and `send`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import asyncpg

from devstack.changes.capture import DATABASE_GONE, Connection
from devstack.faults import Faults
from devstack.live.admission import admit
from devstack.live.bindings import Binding, BindingError, Join, read_binding
from devstack.live.frames import Broadcast, Frame, Push, compact, reply
from devstack.live.identity import Identity, TokenRefusedError, expired, identify
from devstack.live.registry import Registry, Subscription
from devstack.tokens import ProjectKeys

LONGEST_SLEEP_S = 300.0
ADMISSION_RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Services:
    """What all channels share; `caught_up` waits for the capture of the log."""

    pool: asyncpg.Pool[asyncpg.Record]
    registry: Registry
    keys: ProjectKeys
    faults: Faults
    caught_up: Callable[[], Coroutine[Any, Any, None]]


class Channel:
    """A topic that one connection has joined."""

    def __init__(
        self, services: Services, push: Push, join: Join, identity: Identity, send: Callable[[Frame | Broadcast], None]
    ) -> None:
        self._services = services
        self._join = join
        self._identity = identity
        self._send = send
        self._join_ref = push.join_ref or push.ref
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.topic = push.topic
        self.is_open = True

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Start watching the token and subscribing to the database."""
        self._services.registry.join(self)
        if self._join.wants_presence:
            self._push("presence_state", "{}")
        self._group = group
        self._start("expire", self._expire)
        self._start("subscribe", self._subscribe)

    def handle(self, push: Push) -> None:
        """Answer an event; an unknown one is ignored, as by the real server."""
        match push.event:
            case "phx_leave":
                self._send(reply(push, "ok", {}))
                self.close()
            case "access_token":
                self._refresh(push.payload)
            case "broadcast":
                self._broadcast(push)
            case "presence":
                self._send(reply(push, "error", {"reason": "PresenceNotSupported: not part of the embedded stack"}))

    def close(self) -> None:
        """Leave, and tell the client."""
        if self.is_open:
            self.end()
            self._send(Frame(self._join_ref, self._join_ref, self.topic, "phx_close", "{}"))

    def end(self) -> None:
        """Leave without a word: the socket is gone."""
        self.is_open = False
        self._services.registry.leave(self)
        for task in self._tasks.values():
            task.cancel()

    def deliver_change(self, ids: list[int], kind: str, data: str) -> None:
        """Send a change; the frame names no join_ref, in neither version."""
        if not self.is_open:
            return
        if self._join.is_legacy:
            self._send(Frame(None, None, self.topic, kind, data))
        else:
            payload = f'{{"data":{data},"ids":{compact(ids)}}}'
            self._send(Frame(None, None, self.topic, "postgres_changes", payload))

    def deliver_broadcast(self, broadcast: Broadcast) -> None:
        """Send a broadcast."""
        self._send(broadcast)

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if name in self._tasks:
            self._tasks[name].cancel()
        self._tasks[name] = self._group.create_task(work())

    def _push(self, event: str, payload: str) -> None:
        self._send(Frame(self._join_ref, None, self.topic, event, payload))

    def _tell(self, message: str, status: str, extension: str = "postgres_changes") -> None:
        name = self.topic.removeprefix("realtime:")
        self._push("system", compact({"message": message, "status": status, "extension": extension, "channel": name}))

    async def _expire(self) -> None:
        # The clock may be set, so it is looked at again now and then.
        while (left_s := self._identity.expires_at - time.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, LONGEST_SLEEP_S))
        self._refuse(expired(-left_s))

    def _refresh(self, payload: object) -> None:
        token = payload.get("access_token") if isinstance(payload, dict) else None
        if not isinstance(token, str) or token.startswith("sb_") or token == self._identity.token:
            return
        try:
            self._identity = identify(token, self._services.keys)
        except TokenRefusedError as refused:
            self._refuse(refused)
            return
        self._start("expire", self._expire)
        self._start("subscribe", self._subscribe)

    def _refuse(self, refused: TokenRefusedError) -> None:
        self._tell(refused.at_refresh, "error", "system")
        self.close()

    async def _subscribe(self) -> None:
        try:
            bindings = [read_binding(params) for params in self._join.bindings]
            if not bindings:
                return
            # Until the end of this delay the old token's subscriptions stay, and a new channel has none.
            await asyncio.sleep(self._services.faults.subscribe_delay_s)
            subscriptions = await self._admitted(bindings)
            # What was committed before is not delivered, and the log is known to be followed.
            await self._services.caught_up()
        except BindingError as error:
            self._services.registry.replace(self, ())
            self._tell(str(error), "error")
            return
        self._services.registry.replace(self, subscriptions)
        self._tell("Subscribed to PostgreSQL", "ok")

    async def _admitted(self, bindings: list[Binding]) -> list[Subscription]:
        while True:
            try:
                async with self._services.pool.acquire() as connection:
                    return [one for each in bindings for one in await self._admit(connection, each)]
            except DATABASE_GONE:
                await asyncio.sleep(ADMISSION_RETRY_S)

    async def _admit(self, connection: Connection, each: Binding) -> list[Subscription]:
        return [
            Subscription(each.id, self, self._identity, oid, each.action, each.filters, each.select)
            for oid in await admit(connection, self._identity.role, each)
        ]

    def _broadcast(self, push: Push) -> None:
        broadcast = _read_broadcast(push.payload)
        if broadcast is None:
            return
        if self._join.wants_own:
            self.deliver_broadcast(broadcast)
        for other in self._services.registry.others(self):
            other.deliver_broadcast(broadcast)
        if self._join.wants_ack:
            self._send(reply(push, "ok", {}))


def _read_broadcast(payload: object) -> Broadcast | None:
    if isinstance(payload, Broadcast):
        return payload
    if not isinstance(payload, dict) or not isinstance(payload.get("event"), str):
        return None
    return Broadcast(payload["event"], compact(payload.get("payload", {})).encode(), is_json=True)

"""One joined channel: its token, its subscription to the database, its broadcasts, and how it ends.

Knows what a channel answers to each event; the socket and the other channels are behind `Services` and `send`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from devstack.changes.capture import DATABASE_GONE
from devstack.live.frames import Broadcast, Frame, Push, compact, read_broadcast, reply
from devstack.live.identity import TokenRefusedError, expired, identify
from devstack.live.joining import Admitted, JoinRefusedError, reading_of
from devstack.live.permissions import Extension, may_write
from devstack.live.registry import PREFIX, Room
from devstack.live.services import Services
from devstack.live.watching import Watching

LONGEST_SLEEP_S = 300.0
NO_DATABASE = "Realtime was unable to connect to the project database"


class Channel:
    """A topic that one connection has joined."""

    def __init__(
        self, services: Services, push: Push, admitted: Admitted, send: Callable[[Frame | Broadcast], None]
    ) -> None:
        self._services = services
        self._join = admitted.join
        self._asker = admitted.asker
        self._reading = admitted.reading
        self._missed = admitted.missed
        self._writing: dict[Extension, bool] = {}
        self._send = send
        self._join_ref = push.join_ref or push.ref
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watching = Watching(services, self, admitted.join, self._tell)
        self.topic = push.topic
        self.room = Room(push.topic, admitted.join.is_private)
        self.is_open = True

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Hear what is said, watch the token, and subscribe to the database."""
        self._group = group
        self._services.registry.join(self)
        for broadcast in self._missed:
            # Not in binary, whatever the version.
            self._push("broadcast", broadcast.payload())
        if self._join.wants_presence and self._reading.presence:
            self._push("presence_state", self._services.presences.state(self.room))
        if self._join.wants_ready:
            self._start("ready", self._tell_ready)
        self._start("expire", self._expire)
        self.resubscribe()

    async def handle(self, push: Push) -> None:
        """Answer an event; an unknown one is ignored, as by the real server."""
        match push.event:
            case "phx_leave":
                self._send(reply(push, "ok", {}))
                self.close()
            case "access_token":
                await self._refresh(push.payload)
            case "broadcast":
                await self._broadcast(push)
            case "presence":
                await self._presence(push)

    def close(self) -> None:
        """Leave, and tell the client."""
        if self.is_open:
            self.end()
            self.tell_closed()

    def tell_closed(self) -> None:
        """Tell the client that the channel has ended."""
        self._send(Frame(self._join_ref, self._join_ref, self.topic, "phx_close", "{}"))

    def end(self) -> None:
        """Leave without a word: the socket is gone."""
        if not self.is_open:
            return
        self.is_open = False
        self._services.registry.leave(self)
        self._announce(self._services.presences.untrack(self))
        for task in self._tasks.values():
            task.cancel()

    def disconnect(self) -> None:
        """Say that the server hangs up on purpose."""
        self._push("system", compact({"message": "Server requested disconnect", "status": "ok", "extension": "system"}))

    def resubscribe(self) -> None:
        """Subscribe to the database, or do it again."""
        self._start("subscribe", lambda: self._watching.subscribe(self._asker.identity))

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
        """Send a broadcast to who may hear it."""
        if self.is_open and self._reading.broadcast:
            self._send(broadcast)

    def deliver_presence(self, diff: str) -> None:
        """Send who came and went to who may hear it."""
        if self.is_open and self._reading.presence:
            self._send(Frame(None, None, self.topic, "presence_diff", diff))

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if name in self._tasks:
            self._tasks[name].cancel()
        self._tasks[name] = self._group.create_task(work())

    def _push(self, event: str, payload: str) -> None:
        self._send(Frame(self._join_ref, None, self.topic, event, payload))

    def _tell(self, message: str, status: str, extension: str = "postgres_changes") -> None:
        name = self.topic.removeprefix(PREFIX)
        self._push("system", compact({"message": message, "status": status, "extension": extension, "channel": name}))

    async def _tell_ready(self) -> None:
        await self._services.caught_up()
        self._tell("Replication connection established", "ok", "system")

    async def _expire(self) -> None:
        # The clock may be set, so it is looked at again now and then.
        while (left_s := self._asker.identity.expires_at - time.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, LONGEST_SLEEP_S))
        self._refuse(expired(-left_s).at_refresh)

    async def _refresh(self, payload: object) -> None:
        token = payload.get("access_token") if isinstance(payload, dict) else None
        if not isinstance(token, str) or token.startswith("sb_") or token == self._asker.identity.token:
            return
        try:
            self._asker = replace(self._asker, identity=identify(token, self._services.keys))
            await self._ask_again()
        except TokenRefusedError as refused:
            self._refuse(refused.at_refresh)
        except JoinRefusedError as refused:
            self._refuse(refused.reason.removeprefix("Unauthorized: "))
        except DATABASE_GONE:
            self._refuse(NO_DATABASE)
        else:
            self._start("expire", self._expire)
            self.resubscribe()

    async def _ask_again(self) -> None:
        """A private channel's policies are asked again for the new token; what was allowed must stay allowed."""
        if not self.room.is_private:
            return
        async with self._services.pool.acquire() as connection:
            reading = await reading_of(connection, self._asker)
        before, self._reading = self._reading, reading
        self._writing = {}
        if (before.broadcast and not reading.broadcast) or (before.presence and not reading.presence):
            raise JoinRefusedError(
                f"You no longer have permission to read from this Channel topic: {self._asker.topic}"
            )

    def _refuse(self, message: str) -> None:
        self._tell(message, "error", "system")
        self.close()

    async def _may_write(self, extension: Extension) -> bool:
        """Asked once per token; when the database cannot be asked, not allowed."""
        if not self.room.is_private:
            return True
        if extension not in self._writing:
            try:
                async with self._services.pool.acquire() as connection:
                    self._writing[extension] = await may_write(connection, self._asker, extension)
            except DATABASE_GONE:
                return False
        return self._writing[extension]

    async def _broadcast(self, push: Push) -> None:
        broadcast = read_broadcast(push.payload)
        if broadcast is None or not await self._may_write("broadcast"):
            return
        self._services.events.add()
        status, response = "ok", compact({})
        if len(broadcast.body) > self._services.limits.broadcast_bytes:
            status, response = "error", compact("payload_size_exceeded")
        else:
            for member in self._services.registry.members(self.room):
                if member is not self or self._join.wants_own:
                    self._services.faults.pass_on(self.topic, partial(member.deliver_broadcast, broadcast))
        if self._join.wants_ack:
            payload = f'{{"status":"{status}","response":{response}}}'
            self._send(Frame(push.join_ref, push.ref, push.topic, "phx_reply", payload))

    async def _presence(self, push: Push) -> None:
        asked = push.payload if isinstance(push.payload, dict) else {}
        event, said = str(asked.get("event", "")).lower(), asked.get("payload", {})
        presences = self._services.presences
        if event == "track" and not isinstance(said, dict):
            self._send(reply(push, "error", {"reason": "Presence track payload must be a map"}))
        elif event == "track" and await self._may_write("presence"):
            self._send(reply(push, "ok", {}))
            self._announce(presences.track(self, self._join.presence_key, said))
        elif event == "untrack":
            self._send(reply(push, "ok", {}))
            self._announce(presences.untrack(self))
        elif "event" not in asked:
            self._send(reply(push, "ok", {}))
        else:
            self._send(reply(push, "error", {}))

    def _announce(self, diff: str | None) -> None:
        if diff is not None:
            for member in self._services.registry.members(self.room):
                member.deliver_presence(diff)

"""A Realtime server that does what the test says: the faults that a real one cannot be asked for.

It speaks version 1.0.0 of the wire as recorded from the real server: join reply, system message, changes, closes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web


@dataclass
class ScriptedRealtime:
    """What it answers, and what it has seen."""

    says_subscribed: bool = True
    answers_joins: bool = True
    join_error: str | None = None
    refusal: int | None = None
    joins: list[dict[str, Any]] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    port: int = 0
    heartbeats: int = 0
    refused: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _join_refs: dict[tuple[web.WebSocketResponse, str], str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until(self, seen: Callable[[], Any], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s), self.changed:
            await self.changed.wait_for(seen)

    async def frame(self, event: str, payload: dict[str, Any], ref: str | None = None) -> None:
        """Send one frame on the newest channel."""
        text = json.dumps({"topic": self.topics[-1], "event": event, "payload": payload, "ref": ref})
        await self.sockets[-1].send_str(text)

    async def change(self, type_: str, schema: str, table: str) -> None:
        """Send a change on every binding that fits."""
        bindings = self.joins[-1]["config"]["postgres_changes"]
        ids = [number for number, one in enumerate(bindings, 1) if (one["schema"], one["table"]) == (schema, table)]
        data = {
            "schema": schema,
            "table": table,
            "type": type_,
            "commit_timestamp": "2026-11-20T07:35:19.774Z",
            "columns": [],
            "record": {},
            "errors": None,
        }
        await self.frame("postgres_changes", {"ids": ids, "data": data})

    async def system(self, status: str, message: str, extension: str = "postgres_changes") -> None:
        """Send a system message."""
        payload = {"extension": extension, "status": status, "message": message, "channel": "worker"}
        await self.frame("system", payload)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.refusal is not None:
            async with self.changed:
                self.refused += 1
                self.changed.notify_all()
            return web.json_response({"error": "no"}, status=self.refusal)
        assert request.query["apikey"] == "service-key"
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._answer(socket, json.loads(message.data))
        return socket

    async def _answer(self, socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        if frame["event"] == "heartbeat":
            self.heartbeats += 1
            await _reply(socket, frame, "ok", {})
        if frame["event"] != "phx_join":
            return
        bindings = frame["payload"]["config"]["postgres_changes"]
        before = self._join_refs.get((socket, frame["topic"]))
        async with self.changed:
            self.joins.append(frame["payload"])
            self.topics.append(frame["topic"])
            self._join_refs[socket, frame["topic"]] = frame["ref"]
            self.changed.notify_all()
        if not self.answers_joins:
            return
        if self.join_error is not None:
            await _reply(socket, frame, "error", {"reason": self.join_error})
            return
        echoed = [{**binding, "id": number} for number, binding in enumerate(bindings, 1)]
        await _reply(socket, frame, "ok", {"postgres_changes": echoed})
        if before is not None:  # the second join of a topic closes the first, under the old ref, after its own answer
            await self.frame("phx_close", {}, before)
        if self.says_subscribed:
            await self.system("ok", "Subscribed to PostgreSQL")

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[ScriptedRealtime]:
        """Listen on the same port each time, so that it can go and come back."""
        app = web.Application()
        app.add_routes([web.get("/realtime/v1/websocket", self.handle)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            for socket in self.sockets:
                await _quietly(socket.close(code=1012))
            await runner.cleanup()


async def _reply(socket: web.WebSocketResponse, frame: dict[str, Any], status: str, response: dict[str, Any]) -> None:
    payload = {"status": status, "response": response}
    await socket.send_str(
        json.dumps({"topic": frame["topic"], "event": "phx_reply", "payload": payload, "ref": frame["ref"]})
    )


async def _quietly(closing: Awaitable[Any]) -> None:
    try:
        async with asyncio.timeout(0.5):
            await closing
    except (TimeoutError, ConnectionError):
        pass

"""One websocket: reads frames, keeps its channels, writes frames in order; closes after a minute of silence."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import WSCloseCode, WSMsgType, web

from devstack.live.bindings import read_join
from devstack.live.channel import Channel, Services
from devstack.live.frames import Broadcast, Frame, Push, Serializer, reply
from devstack.live.identity import TokenRefusedError, identify

IDLE_S = 60.0
MOST_CHANNELS = 100
PREFIX = "realtime:"
SERVICE_RESTART = 1012
DATA = {WSMsgType.TEXT, WSMsgType.BINARY}


class Connection:
    """A client's socket after its key was accepted."""

    def __init__(self, services: Services, socket: web.WebSocketResponse, serializer: Serializer, apikey: str) -> None:
        self._services = services
        self._socket = socket
        self._serializer = serializer
        self._apikey = apikey
        self._channels: dict[str, Channel] = {}
        self._outbox: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._reading = asyncio.timeout(None)
        self._closing = False
        self._ended = asyncio.Event()

    async def serve(self) -> None:
        """Talk until either side closes."""
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write())
                try:
                    await self._read(group)
                finally:
                    for channel in self._channels.values():
                        channel.end()
                    writer.cancel()
        finally:
            self._ended.set()

    async def close(self) -> None:
        """End the conversation as a restarting server does."""
        self._closing = True
        with contextlib.suppress(RuntimeError):  # the client was faster
            self._reading.reschedule(0)
        await self._ended.wait()

    async def _read(self, group: asyncio.TaskGroup) -> None:
        try:
            async with self._reading:
                while (message := await self._socket.receive(timeout=IDLE_S)).type in DATA:
                    push = self._serializer.decode(message.data)
                    if push is not None:
                        self._handle(push, group)
        except TimeoutError:
            # Only the task that reads may close: it sees the client's closing frame before the transport goes.
            await self._socket.close(code=SERVICE_RESTART if self._closing else WSCloseCode.OK)

    async def _write(self) -> None:
        while True:
            data = await self._outbox.get()
            try:
                await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))
            except ConnectionError:
                return  # the reader learns it too

    def _handle(self, push: Push, group: asyncio.TaskGroup) -> None:
        channel = self._channels.get(push.topic)
        if push.topic == "phoenix":
            if push.event == "heartbeat":
                self._send(reply(push, "ok", {}))
        elif push.event == "phx_join" and push.topic.startswith(PREFIX):
            self._join(push, group)
        elif channel is not None and channel.is_open:
            channel.handle(push)
        else:
            self._send(reply(push, "error", {"reason": "unmatched topic"}))

    def _join(self, push: Push, group: asyncio.TaskGroup) -> None:
        join = read_join(push.topic, push.payload)
        token = join.access_token
        if not token or (isinstance(token, str) and token.startswith("sb_")):
            token = self._apikey
        try:
            identity = identify(token, self._services.keys)
        except TokenRefusedError as refused:
            self._refuse(push, refused.at_join)
            return
        name = push.topic.removeprefix(PREFIX)
        joined = self._channels.get(push.topic)
        if not name:
            self._refuse(push, "TopicNameRequired: You must provide a topic name")
        elif join.is_private or join.wants_replay:
            # Policies on realtime.messages are not asked here, so nobody is let in.
            self._refuse(push, f"Unauthorized: You do not have permissions to read from this Channel topic: {name}")
        elif joined is None and sum(channel.is_open for channel in self._channels.values()) >= MOST_CHANNELS:
            self._refuse(push, "ChannelRateLimitReached: Too many channels")
        else:
            self._send(reply(push, "ok", {"postgres_changes": join.echo()}))
            if joined is not None:
                joined.close()
            channel = Channel(self._services, push, join, identity, lambda frame: self._send(frame, push.topic))
            self._channels[push.topic] = channel
            channel.begin(group)

    def _refuse(self, push: Push, reason: str) -> None:
        self._send(reply(push, "error", {"reason": reason}))

    def _send(self, frame: Frame | Broadcast, topic: str = "") -> None:
        if isinstance(frame, Frame):
            self._outbox.put_nowait(self._serializer.encode(frame))
        else:
            data = self._serializer.encode_broadcast(topic, frame)
            if data is not None:
                self._outbox.put_nowait(data)

"""One websocket: reads frames, keeps its channels, writes frames in order; closes after a minute of silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from aiohttp import WSCloseCode, WSMsgType, web

from devstack.live.channel import Channel
from devstack.live.frames import Broadcast, Frame, Push, Serializer, reply
from devstack.live.joining import JoinRefusedError, let_in
from devstack.live.registry import PREFIX
from devstack.live.services import Services

SERVICE_RESTART = 1012
GOODBYE_LIMIT_S = 1.0  # for a client to take what was said before the end
DATA = {WSMsgType.TEXT, WSMsgType.BINARY}


class Connection:
    """A client's socket after its key was accepted; `headers` are those of the request that opened it."""

    def __init__(
        self,
        services: Services,
        socket: web.WebSocketResponse,
        serializer: Serializer,
        apikey: str,
        headers: Mapping[str, str],
    ) -> None:
        self._services = services
        self._socket = socket
        self._serializer = serializer
        self._apikey = apikey
        self._headers = headers
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
        self._hang_up()
        await self._ended.wait()

    async def disconnect(self) -> None:
        """Tell every channel that the server hangs up, and do it."""
        for channel in self._open():
            channel.disconnect()
        await self.close()

    def _hang_up(self) -> None:
        self._closing = True
        with contextlib.suppress(RuntimeError):  # the client was faster
            self._reading.reschedule(0)

    def _open(self) -> list[Channel]:
        return [channel for channel in self._channels.values() if channel.is_open]

    async def _read(self, group: asyncio.TaskGroup) -> None:
        idle_s = self._services.limits.idle_s
        try:
            async with self._reading:
                while (message := await self._socket.receive(timeout=idle_s)).type in DATA:
                    push = self._serializer.decode(message.data)
                    if push is not None:
                        await self._handle(push, group)
        except TimeoutError:
            await self._flush()
            # Only the task that reads may close: it sees the client's closing frame before the transport goes.
            await self._socket.close(code=SERVICE_RESTART if self._closing else WSCloseCode.OK)

    async def _write(self) -> None:
        while True:
            data = await self._outbox.get()
            await self._services.faults.thawed()
            try:
                await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))
            except ConnectionError:
                return  # the reader learns it too
            self._outbox.task_done()

    async def _flush(self) -> None:
        """Let the writer send what it has, as far as the client takes it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_LIMIT_S):
                await self._outbox.join()

    async def _handle(self, push: Push, group: asyncio.TaskGroup) -> None:
        channel = self._channels.get(push.topic)
        if push.topic == "phoenix":
            if push.event == "heartbeat":
                self._send(reply(push, "ok", {}))
        elif push.event == "phx_join" and push.topic.startswith(PREFIX):
            await self._join(push, group)
        elif channel is not None and channel.is_open:
            await channel.handle(push)
        else:
            self._send(reply(push, "error", {"reason": "unmatched topic"}))

    async def _join(self, push: Push, group: asyncio.TaskGroup) -> None:
        """Like the real server, the socket reads nothing else meanwhile, and an older channel ends in any case."""
        old = self._channels.pop(push.topic, None)
        replaces = old is not None and old.is_open
        if old is not None:
            old.end()
        channel = None
        try:
            admitted = await let_in(self._services, push, self._apikey, self._headers, len(self._open()))
        except JoinRefusedError as refused:
            self._send(reply(push, "error", {"reason": refused.reason}))
            if refused.hangs_up:
                self._hang_up()
        else:
            self._send(reply(push, "ok", {"postgres_changes": admitted.join.echo()}))
            channel = Channel(self._services, push, admitted, lambda frame: self._send(frame, push.topic))
        if old is not None and replaces:
            old.tell_closed()
        if channel is not None:
            self._channels[push.topic] = channel
            channel.begin(group)

    def _send(self, frame: Frame | Broadcast, topic: str = "") -> None:
        if isinstance(frame, Frame):
            self._outbox.put_nowait(self._serializer.encode(frame))
        else:
            data = self._serializer.encode_broadcast(topic, frame)
            if data is not None:
                self._outbox.put_nowait(data)

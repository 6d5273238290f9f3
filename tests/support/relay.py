"""A TCP relay in front of the stack that cuts, refuses new connections, or swallows bytes: a network that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Relay:
    """Forwards bytes to one address until it is told not to."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self.refusing = False
        self.silent = False
        """Half-open: both sides think that they are connected, and no byte arrives."""
        self.url = ""

    def cut(self) -> None:
        """Close every connection now, without a goodbye."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        if self.refusing:
            writer.transport.abort()
            return
        onward_reader, onward_writer = await asyncio.open_connection(*self._target)
        self._open |= {writer, onward_writer}
        try:
            await asyncio.gather(self._copy(reader, onward_writer, True), self._copy(onward_reader, writer, False))
        finally:
            self._open -= {writer, onward_writer}
            writer.transport.abort()
            onward_writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_ours: bool) -> None:
        try:
            while chunk := await reader.read(65_536):
                if not self.silent:
                    writer.write(chunk)
                    await writer.drain()
            if not self.silent:
                writer.write_eof()
            elif is_ours:
                writer.transport.abort()  # whoever called gave up: only the other side never hears of it
        except OSError:
            writer.transport.abort()


@asynccontextmanager
async def open_relay(url: str) -> AsyncIterator[Relay]:
    """A relay to the server of `url`, on a port of its own."""
    target = urlsplit(url)
    assert target.hostname
    assert target.port
    relay = Relay(target.hostname, target.port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        relay.cut()

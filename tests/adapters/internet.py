"""An internet of one host: every connect() of this process is noted, and those to its address reach a local server.

The names, the sockets, TLS and HTTP are real; only the route to the address is bent.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

ADDRESS = "93.184.215.14"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def head(status: str = "200 OK", **fields: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def picture(body: bytes = PNG, **fields: object) -> bytes:
    return head(**({"Content_Type": "image/png", "Content_Length": len(body)} | fields)) + body


@dataclass
class Internet:
    """What was dialled, looked up, asked and answered."""

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    dialled: list[tuple[str, int]] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    sent_bytes: int = 0
    answer: bytes | Answer = field(default_factory=picture)
    port: int = 0
    serving: set[asyncio.Task[None]] = field(default_factory=set)
    is_over: bool = False

    def lookup(self, host: str, port: int) -> list[str]:
        """Answer as a name server does: the next answer of the name, the last one for ever."""
        self.looked_up.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        self.sent_bytes += len(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await reader.readuntil(b"\r\n\r\n")
            length = next((int(s[15:]) for s in request.lower().split(b"\r\n") if s.startswith(b"content-length:")), 0)
            self.requests.append(request + await reader.readexactly(length))
            await (self.send(writer, self.answer) if isinstance(self.answer, bytes) else self.answer(writer))
        if self.is_over:
            writer.transport.abort()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError, TimeoutError):
            await writer.wait_closed()


@asynccontextmanager
async def internet(monkeypatch: pytest.MonkeyPatch, certified: ssl.SSLContext | None = None) -> AsyncIterator[Internet]:
    made = Internet(names={"pictures.example.com": [[ADDRESS]]})
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=certified)
    made.port = server.sockets[0].getsockname()[1]
    connect = socket.socket.connect

    def dial(dialling: socket.socket, address: Any) -> None:
        made.dialled.append(address[:2])
        connect(dialling, ("127.0.0.1", made.port) if address[0] == ADDRESS else address)

    monkeypatch.setattr(socket.socket, "connect", dial)
    try:
        yield made
    finally:
        server.close()
        made.is_over = True
        serving = list(made.serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

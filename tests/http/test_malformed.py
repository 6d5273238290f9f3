"""What is no HTTP request, byte by byte: answered in the one shape, closed, and neither quoted nor logged."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from listener.http.body import parsed_json, read_body, require_json
from listener.http.server import serving

CANARY = "CANARYlsk_secret"
HOST = b"GET /things HTTP/1.1\r\nHost: a\r\n"
BROKEN = {
    "no request line": b"NOTHING\r\n\r\n",
    "a greeting of TLS": bytes.fromhex("16030100a5010000a10303") + b"\r\n\r\n",
    "an unknown version": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "a path that is too long": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a header that is too long": HOST + b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n",
    "a credential with a NUL": HOST + f"Authorization: Bearer {CANARY}\0\r\n\r\n".encode(),
    "a name of a header with a space": HOST + f"Bad Name {CANARY}: a\r\n\r\n".encode(),
    "two lengths": HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length that is no number": HOST + b"Content-Length: many\r\n\r\n",
    "a length and chunks": HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}
CUT = {
    "it broke off": (b"Content-Length: 20\r\n\r\n{}", 400),
    "it is not what its encoding says": (b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415),
}


async def exchange(port: int, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, read until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(10):
        said = await reader.read()
    writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    return int(first.split()[1]), {name.lower(): value for name, value in (one.split(": ", 1) for one in headers)}, body


@pytest.mark.parametrize("what", BROKEN)
async def test_what_is_no_request_is_refused_in_the_one_shape_and_never_quoted(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    async def things(_request: web.Request) -> web.Response:
        return web.json_response({})

    async with serving("127.0.0.1", 0, [web.get("/things", things)]) as port:
        status, headers, body = await exchange(port, BROKEN[what])
    assert (status, json.loads(body)["error"]["code"]) == (400, "BAD_REQUEST")
    assert headers["content-type"].startswith("application/json")
    assert (headers["server"], bool(headers["x-request-id"])) == ("listener", True)
    assert CANARY not in caplog.text + body.decode()


@pytest.mark.parametrize("path", ["/things", "/nothing"])
async def test_what_nobody_here_can_do_is_not_begun_and_not_quoted(path: str) -> None:
    async def things(_request: web.Request) -> web.Response:
        raise AssertionError("it was begun")

    sent = f"POST {path} HTTP/1.1\r\nHost: a\r\nExpect: {CANARY}\r\nContent-Length: 0\r\n\r\n"
    async with serving("127.0.0.1", 0, [web.post("/things", things)]) as port:
        status, headers, body = await exchange(port, sent.encode())
    assert (status, json.loads(body)["error"]["code"]) == (417, "EXPECTATION_FAILED")
    assert (headers["server"], bool(headers["x-request-id"])) == ("listener", True)
    assert CANARY not in body.decode()


@pytest.mark.parametrize("what", CUT)
async def test_a_body_that_cannot_be_read_is_nobody_s_fault_but_the_caller_s(
    what: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    answered: list[int] = []
    done = asyncio.Event()

    async def things(request: web.Request) -> web.Response:
        require_json(request, "A thing")
        return web.json_response(parsed_json(await read_body(request, 1000)))

    def count(_route: str, _method: str, status: int, _took_s: float) -> None:
        answered.append(status)
        done.set()

    async with serving("127.0.0.1", 0, [web.post("/things", things)], count) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HOST.replace(b"GET", b"POST") + b"Content-Type: application/json\r\n" + CUT[what][0])
        await writer.drain()
        if CUT[what][1] == 400:
            writer.transport.abort()
        async with asyncio.timeout(10):
            await done.wait()
        writer.close()
    assert answered == [CUT[what][1]]
    assert "rror" not in caplog.text + capsys.readouterr().out

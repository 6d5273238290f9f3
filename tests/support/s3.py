"""A real S3 server (moto, a process of its own) behind a door that checks every signature, and may fail on purpose.

moto takes any signature: whether ours are right is computed here, from the rules and not by the client's own code.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote
from uuid import uuid4

import aiohttp
from aiohttp import web
from multidict import CIMultiDictProxy

KEY_ID, SECRET = "test-key-id-0123456789", "test-secret-0123456789-abcdefghij"
SERVE = """
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
DROPPED = frozenset({"host", "content-length", "transfer-encoding", "connection"})


@contextmanager
def s3_server() -> Iterator[str]:
    """The URL of a server of this run's own; it ends with its standard input."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdin
        yield f"http://{process.stdout.readline().strip()}"
        process.stdin.close()
        process.wait(10)


class Door:
    """What stands before the server. `faults` are answered to the next uploads, in order: a status, or 0 for a reset.

    `room`: how many more uploads fit, None for any number; a removed object leaves its room. `ahead_s`: its clock.
    """

    def __init__(self, server: str, session: aiohttp.ClientSession) -> None:
        self.url = ""
        self.bucket = f"results-{uuid4().hex[:8]}"
        self.secret = SECRET
        self.faults: list[int] = []
        self.room: int | None = None
        self.ahead_s = 0.0
        self.seen: list[tuple[str, str, CIMultiDictProxy[str]]] = []
        self._server = server
        self._session = session

    @property
    def settings(self) -> dict[str, str]:
        """What a worker is given to use it."""
        return {
            "LISTENER_S3_ENDPOINT": self.url,
            "R2_ACCESS_KEY_ID": KEY_ID,
            "R2_SECRET_ACCESS_KEY": SECRET,
            "R2_BUCKET_NAME": self.bucket,
        }

    async def make(self) -> None:
        """Make the bucket, as an operator does."""
        async with self._session.put(f"{self._server}/{self.bucket}") as made:
            assert made.status == 200, await made.text()

    async def keys(self) -> list[str]:
        """What lies in the bucket."""
        async with self._session.get(f"{self._server}/{self.bucket}?list-type=2") as listed:
            return re.findall(r"<Key>(.*?)</Key>", await listed.text())

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Check, fail, or pass on."""
        body = await request.read()
        self.seen.append((request.method, request.path_qs, request.headers))
        if (refusal := self._refusal(request, body)) is not None:
            return _error(403, refusal)
        if request.method == "PUT" and self.faults:
            fault = self.faults.pop(0)
            if fault == 0:
                assert request.transport is not None
                request.transport.abort()
            return _error(fault or 500, "InternalError" if fault < 503 else "SlowDown")
        if request.method == "PUT" and self.room is not None:
            if self.room == 0:
                return _error(507, "XMinioStorageFull")
            self.room -= 1
        if request.method == "POST" and self.room is not None:
            self.room += body.count(b"<Key>")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in DROPPED}
        url = f"{self._server}{request.path_qs}"
        async with self._session.request(
            request.method, aiohttp.client.URL(url, encoded=True), data=body, headers=headers
        ) as told:
            answered = {name: value for name, value in told.headers.items() if name.lower() not in DROPPED}
            answered.pop("Server", None), answered.pop("Date", None)
            return web.Response(status=told.status, body=await told.read(), headers=answered)

    def _refusal(self, request: web.Request, body: bytes) -> str | None:
        """The code of what is wrong with a signature."""
        query = parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)
        given = dict(query)
        if "X-Amz-Signature" in given:
            at, credential, signed = given["X-Amz-Date"], given["X-Amz-Credential"], given["X-Amz-SignedHeaders"]
            signature, payload = given["X-Amz-Signature"], "UNSIGNED-PAYLOAD"
            query = [(name, value) for name, value in query if name != "X-Amz-Signature"]
            ends_at = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + timedelta(
                seconds=int(given["X-Amz-Expires"])
            )
            if datetime.now(UTC) + timedelta(seconds=self.ahead_s) > ends_at:
                return "AccessDenied"
        elif match := re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=(.+), ?SignedHeaders=(.+), ?Signature=(.+)",
            request.headers.get("Authorization", ""),
        ):
            credential, signed, signature = match.groups()
            at, payload = request.headers["X-Amz-Date"], request.headers["X-Amz-Content-SHA256"]
            if payload != hashlib.sha256(body).hexdigest():
                return "XAmzContentSHA256Mismatch"
        else:
            return "AccessDenied"
        key_id, scope = credential.split("/", 1)
        if key_id != KEY_ID:
            return "InvalidAccessKeyId"
        canonical = _canonical(request, query, signed, payload)
        right = _signature(self.secret, scope, at, canonical)
        return None if hmac.compare_digest(right, signature) else "SignatureDoesNotMatch"


def _canonical(request: web.Request, query: list[tuple[str, str]], signed: str, payload: str) -> str:
    pairs = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query))
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in signed.split(";"))
    return "\n".join([request.method, request.rel_url.raw_path, pairs, headers, signed, payload])


def _signature(secret: str, scope: str, at: str, canonical: str) -> str:
    """Source: AWS Signature Version 4, "Create a signed AWS API request"."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _error(status: int, code: str) -> web.Response:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>told by the test</Message></Error>'
    )
    return web.Response(status=status, text=body, content_type="application/xml")


@asynccontextmanager
async def open_door(server: str) -> AsyncIterator[Door]:
    """A door on a port of its own, with a bucket of its own behind it."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        door = Door(server, session)
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", door.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        door.url = f"http://{host}:{port}"
        await door.make()
        try:
            yield door
        finally:
            async with asyncio.timeout(5):
                await runner.cleanup()

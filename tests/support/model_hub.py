"""A model hub on this machine that speaks the hub's wire: revision, tree, resolve with ranges, large files elsewhere.

Large files are answered by a second server, as the hub does: it refuses who shows it the hub's token.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES = 100_000
PIECE_BYTES = 65_536
TOKEN = "hf_of_the_account_that_may_read"


@dataclass
class Hub:
    """What it holds, what goes wrong, and what was asked of it."""

    repositories: dict[str, dict[str, bytes]]
    gated: set[str] = field(default_factory=set)
    revisions: set[str] = field(default_factory=lambda: {"main", COMMIT})
    announced: dict[str, int] = field(default_factory=dict)  # sizes that are told instead of the true ones
    statuses: list[int] = field(default_factory=list)  # of the next answers of the hub itself
    cuts: list[int] = field(default_factory=list)  # after how many bytes the next large answers end
    damaged: int = 0  # how many of the next large answers have a wrong byte
    stop_after: int | None = None  # large answers wait there until `go_on`
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    base_url: str = ""
    cdn_url: str = ""

    def sent_files(self) -> list[str]:
        """The files that were asked for, each time."""
        return [line.removeprefix("GET ").rpartition("/")[2] for line in self.asked if line.startswith("GET /cdn/")]

    async def revision(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if refused := self._refused(request, name):
            return refused
        if request.match_info.get("revision", "main") not in self.revisions:
            return web.json_response({}, status=404, headers={"X-Error-Code": "RevisionNotFound"})
        siblings = [{"rfilename": path} for path in self.repositories[name]]
        return web.json_response({"id": name, "sha": COMMIT, "siblings": siblings, "tags": []})

    async def tree(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if refused := self._refused(request, name):
            return refused
        return web.json_response([self._entry(path, body) for path, body in self.repositories[name].items()])

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        name, path = request.match_info["name"], request.match_info["path"]
        if refused := self._refused(request, name):
            return refused
        body = self.repositories[name][path]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_blob_id(body)}"'}
        if len(body) < LARGE_BYTES:
            return web.Response(body=body, headers=headers)
        headers |= {"X-Linked-Etag": f'"{_sha256(body)}"', "X-Linked-Size": str(len(body))}
        headers["Location"] = f"{self.cdn_url}/cdn/{name}/{path}?X-Signature=secret"
        return web.Response(status=302, headers=headers)

    async def elsewhere(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"GET {request.path}")
        if "Authorization" in request.headers:
            return web.Response(status=400)
        body = self.repositories[request.match_info["name"]][request.match_info["path"]]
        begin = 0
        if wanted := request.headers.get("Range"):
            self.ranges.append(wanted)
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
        answer = web.StreamResponse(status=206 if wanted else 200)
        answer.content_length = len(body) - begin
        if wanted:
            answer.headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        await answer.prepare(request)
        if self.damaged:
            self.damaged -= 1
            body = bytes([body[0] ^ 1]) + body[1:]
        await self._send(request, answer, body[begin:])
        return answer

    async def _send(self, request: web.Request, answer: web.StreamResponse, body: bytes) -> None:
        cut = self.cuts.pop(0) if self.cuts else None
        for begin in range(0, len(body), PIECE_BYTES):
            if cut is not None and begin >= cut and request.transport is not None:
                request.transport.abort()
                return
            if self.stop_after is not None and begin >= self.stop_after:
                self.stopped.set()
                await self.go_on.wait()
            try:
                await answer.write(body[begin : begin + PIECE_BYTES])
            except ConnectionError:
                return

    def _refused(self, request: web.Request, name: str) -> web.Response | None:
        self.asked.append(f"{request.method} {request.path}")
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        may = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        if name in self.gated and not may:
            return web.Response(status=401, headers={"X-Error-Code": "GatedRepo"})
        if name not in self.repositories:
            return web.Response(status=401 if not may else 404, headers={"X-Error-Code": "RepoNotFound"})
        return None

    def _entry(self, path: str, body: bytes) -> dict[str, Any]:
        size_bytes = self.announced.get(path, len(body))
        entry: dict[str, Any] = {"type": "file", "oid": _blob_id(body), "size": size_bytes, "path": path}
        if len(body) >= LARGE_BYTES:
            entry["lfs"] = {"oid": _sha256(body), "size": size_bytes, "pointerSize": 134}
        return entry


@asynccontextmanager
async def serving_models(repositories: dict[str, dict[str, bytes]]) -> AsyncIterator[Hub]:
    """A hub with these files."""
    hub = Hub(repositories)
    name = "{name:[^/]+/[^/]+}"
    api = web.Application()
    api.add_routes(
        [
            web.get(f"/api/models/{name}", hub.revision),
            web.get(f"/api/models/{name}/revision/{{revision}}", hub.revision),
            web.get(f"/api/models/{name}/tree/{{revision}}", hub.tree),
            web.get(f"/{name}/resolve/{{revision}}/{{path:.+}}", hub.resolve),
        ]
    )
    cdn = web.Application()
    cdn.add_routes([web.get(f"/cdn/{name}/{{path:.+}}", hub.elsewhere)])
    runners = [web.AppRunner(app, access_log=None, shutdown_timeout=0.1) for app in (api, cdn)]
    try:
        for runner in runners:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        hub.base_url, hub.cdn_url = (f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners)
        yield hub
    finally:
        hub.go_on.set()
        for runner in runners:
            await runner.cleanup()


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _blob_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()

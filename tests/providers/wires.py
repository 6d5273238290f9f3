"""Servers that speak the wire of a provider, or fail on it as the real one does."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from aiohttp import BodyPartReader, web
from PIL import Image

Answer = Callable[["Wire", web.Request], Awaitable[web.StreamResponse]]
KEY = "key-CANARY-0123456789"
PROMPT = "a CANARY in a red coat"


def picture(side: int = 32, colour: str = "red", kind: str = "PNG") -> bytes:
    """An encoded image."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side + 8), colour).save(buffer, kind)
    return buffer.getvalue()


@dataclass
class Job:
    """A job that somebody began."""

    input: dict[str, Any]
    looks_left: int = 1


@dataclass
class Wire:
    """What it was asked, and what it answers. `scripted` goes first, one for each request that begins work."""

    url: str = ""
    scripted: list[Answer] = field(default_factory=list)
    always: Answer | None = None
    looks_scripted: list[Answer] = field(default_factory=list)
    began: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    image: bytes = field(default_factory=picture)
    output: Any = None
    failure: str | None = None
    looks: int = 1
    released: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = ()

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """A request that begins work."""
        self.keys.append(request.headers.get("Authorization", ""))
        self.began.append(await self.read(request))
        self.asked.set()
        scripted = self.scripted.pop(0) if self.scripted else self.always
        if scripted is not None:
            try:
                return await scripted(self, request)
            except asyncio.CancelledError:
                self.left.set()
                raise
        return web.json_response(self.made(self.began[-1]))

    async def look(self, request: web.Request) -> web.StreamResponse:
        """A request that looks at a job."""
        if self.looks_scripted:
            return await self.looks_scripted.pop(0)(self, request)
        job = self.jobs[request.match_info["id"]]
        job.looks_left -= 1
        return web.json_response(self.seen(request.match_info["id"], is_done=job.looks_left < 0))

    async def result(self, request: web.Request) -> web.StreamResponse:
        """A request for what a job made."""
        return web.json_response(self.outcome(request.match_info["id"]))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """A request that cancels a job."""
        self.cancelled.append(request.match_info["id"])
        self.left.set()
        return web.json_response(self.seen(request.match_info["id"], is_done=False))

    async def file(self, _request: web.Request) -> web.StreamResponse:
        """The image that a URL leads to."""
        return web.Response(body=self.image, content_type="image/png")

    def outcome(self, _job: str) -> Any:
        return self.output if self.output is not None else [f"{self.url}/files/made.png"]

    def new(self, asked: dict[str, Any]) -> str:
        job = f"job-{len(self.jobs) + 1}"
        self.jobs[job] = Job(asked, self.looks)
        return job

    async def read(self, request: web.Request) -> dict[str, Any]:
        raise NotImplementedError

    def made(self, asked: dict[str, Any]) -> Any:
        raise NotImplementedError

    def seen(self, job: str, *, is_done: bool) -> Any:
        raise NotImplementedError


class OpenAIWire(Wire):
    """images/edits and images/generations."""

    routes = (("POST", "/v1/images/edits", "begin"), ("POST", "/v1/images/generations", "begin"))

    async def read(self, request: web.Request) -> dict[str, Any]:
        if not request.content_type.startswith("multipart/"):
            return {"path": request.path, "images": [], **await request.json()}
        images, words = [], {}
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name in {"image", "image[]"}:
                images.append(bytes(await part.read()))
            else:
                words[str(part.name)] = await part.text()
        return {"path": request.path, "images": images, **words}

    def made(self, asked: dict[str, Any]) -> Any:
        image = {"b64_json": base64.b64encode(self.image).decode()}
        usage = {
            "input_tokens": 550,
            "input_tokens_details": {"image_tokens": 500, "text_tokens": 50},
            "output_tokens": 1000,
            "total_tokens": 1550,
        }
        return {"created": 1, "data": [image] * int(asked["n"]), "usage": usage}


class ReplicateWire(Wire):
    """Predictions."""

    routes = (
        ("POST", "/v1/models/{owner}/{name}/predictions", "begin"),
        ("POST", "/v1/predictions", "begin"),
        ("GET", "/v1/predictions/{id}", "look"),
        ("POST", "/v1/predictions/{id}/cancel", "cancel"),
    )

    async def read(self, request: web.Request) -> dict[str, Any]:
        return {"path": request.path, "life": request.headers.get("Cancel-After"), **(await request.json())["input"]}

    def made(self, asked: dict[str, Any]) -> Any:
        return self._shape(self.new(asked), "starting")

    def seen(self, job: str, *, is_done: bool) -> Any:
        if not is_done:
            return self._shape(job, "canceled" if job in self.cancelled else "processing")
        if self.failure is not None:
            return {**self._shape(job, "failed"), "error": self.failure}
        metrics = {"predict_time": 2.5, "total_time": 3.0}
        return {**self._shape(job, "succeeded"), "output": self.outcome(job), "metrics": metrics}

    def _shape(self, job: str, status: str) -> dict[str, Any]:
        url = f"{self.url}/v1/predictions/{job}"
        return {
            "id": job,
            "model": "owner/name",
            "version": "v1",
            "status": status,
            "input": {},
            "output": None,
            "logs": "",
            "error": None,
            "metrics": None,
            "created_at": "2026-01-01T00:00:00Z",
            "started_at": None,
            "completed_at": None,
            "urls": {"get": url, "cancel": f"{url}/cancel"},
        }


class FalWire(Wire):
    """The queue."""

    routes = (
        ("POST", "/owner/name/edit", "begin"),
        ("GET", "/owner/name/requests/{id}/status", "look"),
        ("GET", "/owner/name/requests/{id}", "result"),
        ("PUT", "/owner/name/requests/{id}/cancel", "cancel"),
    )

    async def read(self, request: web.Request) -> dict[str, Any]:
        return {"path": request.path, "life": request.headers.get("X-Fal-Request-Timeout"), **await request.json()}

    def made(self, asked: dict[str, Any]) -> Any:
        job = self.new(asked)
        # Addresses of somebody else: the key must not go there.
        url = f"http://127.0.0.1:9/owner/name/requests/{job}"
        return {"request_id": job, "response_url": url, "status_url": url, "cancel_url": url, "queue_position": 0}

    def seen(self, job: str, *, is_done: bool) -> Any:
        if not is_done:
            return {"status": "IN_QUEUE", "queue_position": 0, "request_id": job}
        failed = {"error": self.failure, "error_type": "content_policy_violation"} if self.failure else {}
        return {"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 2.5}, **failed}

    def outcome(self, job: str) -> Any:
        found = super().outcome(job)
        return found if self.output is not None else {"images": [{"url": found[0], "content_type": "image/png"}]}


class RunPodWire(Wire):
    """A serverless endpoint."""

    routes = (
        ("POST", "/endpoint1/run", "begin"),
        ("GET", "/endpoint1/status/{id}", "look"),
        ("POST", "/endpoint1/cancel/{id}", "cancel"),
    )

    async def read(self, request: web.Request) -> dict[str, Any]:
        return {"path": request.path, **(await request.json())["input"]}

    def made(self, asked: dict[str, Any]) -> Any:
        return {"id": self.new(asked), "status": "IN_QUEUE"}

    def seen(self, job: str, *, is_done: bool) -> Any:
        if not is_done:
            return {"id": job, "status": "IN_PROGRESS"}
        if self.failure is not None:
            return {"id": job, "status": "FAILED", "error": self.failure}
        return {"id": job, "status": "COMPLETED", "executionTime": 2500, "output": self.outcome(job)}

    def outcome(self, job: str) -> Any:
        return self.output if self.output is not None else {"image": base64.b64encode(self.image).decode()}


def failing(status: int, code: str = "x", said: str = "no", **headers: str) -> Answer:
    """An error; it repeats the key and what was asked, as real ones may."""

    async def answer(_wire: Wire, request: web.Request) -> web.Response:
        text = f"{said}: {request.headers.get('Authorization')} {PROMPT}"
        body = {"error": {"message": text, "code": code, "type": "t"}, "detail": text, "title": text, "status": status}
        return web.json_response(body, status=status, headers=headers)

    return answer


def answering(body: Any, status: int = 200, **headers: str) -> Answer:
    """Another body."""

    async def answer(_wire: Wire, _request: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status, content_type="application/json", headers=headers)

    return answer


async def mute(wire: Wire, _request: web.Request) -> web.StreamResponse:
    """Never answers."""
    await wire.released.wait()
    return web.Response()


async def endless(_wire: Wire, request: web.Request) -> web.StreamResponse:
    """An answer without an end."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" " * 2**20)


async def torn(_wire: Wire, request: web.Request) -> web.StreamResponse:
    """Drops the connection when everything was sent."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving(wire: Wire) -> AsyncIterator[Wire]:
    """Run a server on a free port."""
    app = web.Application(client_max_size=2**26)
    for method, path, name in wire.routes:
        app.router.add_route(method, path, getattr(wire, name))
    app.router.add_get("/files/{name}", wire.file)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    wire.url = f"http://{host}:{port}"
    try:
        yield wire
    finally:
        wire.released.set()
        await runner.cleanup()

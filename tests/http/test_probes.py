"""The probes over real HTTP: alive, ready, and each part with its reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from listener.engine.health import Health, PartStatus
from listener.http.probes import Probes
from listener.http.refusal import Refused
from listener.http.server import BODY_BYTES, serving


class Parts:
    """Health whose parts the test sets."""

    def __init__(self) -> None:
        self.status = {"generator": PartStatus(True, "loaded"), "realtime": PartStatus(True, required=False)}
        self.health = Health()
        self.was_ready = True
        for name in self.status:
            self.health.add(name, lambda name=name: self.status[name])  # type: ignore[misc]


@asynccontextmanager
async def client(parts: Parts, *more: web.AbstractRouteDef) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        serving("127.0.0.1", 0, [*Probes(parts.health, lambda: parts.was_ready).routes(), *more]) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        assert port > 0
        yield session


async def read(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as answer:
        return answer.status, await answer.json()


async def test_all_is_well() -> None:
    async with client(Parts()) as session:
        assert await read(session, "/livez") == (200, {"status": "alive"})
        assert await read(session, "/readyz") == (200, {"status": "ready"})
        status, body = await read(session, "/health")
    assert (status, body["status"]) == (200, "ok")
    assert body["parts"]["generator"] == {"status": "ok", "reason": "loaded"}


async def test_a_worker_that_loads_its_model_is_alive_and_not_ready_and_says_why() -> None:
    parts = Parts()
    parts.status["generator"] = PartStatus(False, "headshot: loading", details={"starts": 1})
    async with client(parts) as session:
        assert (await read(session, "/livez"))[0] == 200
        assert await read(session, "/readyz") == (
            503,
            {"status": "not ready", "reasons": {"generator": "headshot: loading"}},
        )
        status, body = await read(session, "/health")
    assert (status, body["status"]) == (200, "degraded")
    assert body["parts"]["generator"] == {"status": "failing", "reason": "headshot: loading", "details": {"starts": 1}}


async def test_a_part_that_is_not_required_degrades_but_does_not_stop_the_work() -> None:
    parts = Parts()
    parts.status["realtime"] = PartStatus(False, "no canary within 10 s", required=False)
    async with client(parts) as session:
        assert (await read(session, "/readyz"))[0] == 200
        assert (await read(session, "/health"))[1]["status"] == "degraded"


async def test_a_reason_carries_no_secret() -> None:
    parts = Parts()
    parts.status["generator"] = PartStatus(False, "GET https://x/y?token=CANARY failed with sb_secret_CANARY")
    async with client(parts) as session:
        assert "CANARY" not in str(await read(session, "/readyz"))
        assert "CANARY" not in str(await read(session, "/health"))


async def test_health_answers_within_200_ms() -> None:
    async with client(Parts()) as session:
        await read(session, "/health")
        began = time.perf_counter()
        await read(session, "/health")
        assert time.perf_counter() - began < 0.2


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/health", 405)])
async def test_refusals_have_the_uniform_shape(method: str, path: str, status: int) -> None:
    async with client(Parts()) as session, session.request(method, path) as answer:
        body = await answer.json()
        assert answer.status == status
        assert set(body["error"]) == {"code", "message", "details"}
        assert body["error"]["code"] == body["error"]["code"].upper()


async def test_a_fault_tells_nothing_about_itself() -> None:
    async def breaks(_request: web.Request) -> web.Response:
        raise RuntimeError("CANARY")

    async with client(Parts(), web.get("/breaks", breaks)) as session, session.get("/breaks") as answer:
        text = await answer.text()
        assert answer.status == 500
        assert "CANARY" not in text


async def test_a_body_over_the_limit_is_refused() -> None:
    async def reads(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({})

    async with client(Parts(), web.post("/reads", reads)) as session:
        async with session.post("/reads", data=b"x" * (BODY_BYTES + 1)) as answer:
            assert answer.status == 413
            assert (await answer.json())["error"]["code"] == "REQUEST_ENTITY_TOO_LARGE"
        async with session.post("/reads", data=b"x") as answer:
            assert answer.status == 200


async def test_a_port_in_use_is_an_error_and_not_a_silent_probe() -> None:
    async with serving("127.0.0.1", 0, []) as port:
        with pytest.raises(OSError, match="Address already in use"):
            async with asyncio.timeout(5), serving("127.0.0.1", port, []):
                pass


async def test_a_worker_that_was_ready_once_stays_started() -> None:
    parts = Parts()
    parts.was_ready = False
    parts.status["generator"] = PartStatus(False, "headshot: loading")
    async with client(parts) as session:
        assert await read(session, "/startupz") == (
            503,
            {"status": "starting", "reasons": {"generator": "headshot: loading"}},
        )
        parts.was_ready = True
        assert await read(session, "/startupz") == (200, {"status": "started"})


async def test_requests_are_counted_by_pattern_and_never_by_path() -> None:
    counted: list[tuple[str, str, int, float]] = []

    async def shows(_request: web.Request) -> web.Response:
        return web.json_response({})

    routes = [web.get("/things/{id}", shows)]
    async with (
        serving("127.0.0.1", 0, routes, lambda *answer: counted.append(answer)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        for method, path in (("GET", "/things/4711"), ("GET", "/nothing/4711"), ("MKCOL", "/x"), ("POST", "/things/1")):
            async with session.request(method, path):
                pass
    assert [told[:3] for told in counted] == [
        ("/things/{id}", "GET", 200),
        ("other", "GET", 404),
        ("other", "other", 404),
        ("other", "POST", 405),
    ]
    assert all(0 < took_s < 5 for *_, took_s in counted)


async def test_an_answer_is_one_line_of_the_log_under_the_id_that_its_caller_has() -> None:
    async def things(request: web.Request) -> web.Response:
        match request.match_info["id"]:
            case "poor":
                raise Refused(402, "CREDITS_INSUFFICIENT", "No.")
            case "broken":
                raise RuntimeError("a fault")
        return web.json_response({})

    async with client(Parts(), web.get("/things/{id}", things)) as session:
        with capture_logs([merge_contextvars]) as lines:
            for number, path in enumerate(("/things/poor", "/things/broken", "/nothing", "/livez", "/things/CANARY")):
                async with session.get(path, headers={"X-Request-Id": f"asked:{number}"}) as answer:
                    assert answer.headers["Cache-Control"] == "no-store"
    told = [line for line in lines if line["event"] == "request_answered"]
    assert [(line["request_id"], line["route"], line["status"], line.get("code")) for line in told] == [
        ("asked:0", "/things/{id}", 402, "CREDITS_INSUFFICIENT"),
        ("asked:1", "/things/{id}", 500, "INTERNAL_ERROR"),
        ("asked:2", "other", 404, "NOT_FOUND"),
        ("asked:4", "/things/{id}", 200, None),
    ]
    assert "CANARY" not in str(told)

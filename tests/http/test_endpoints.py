"""The endpoints that packages bring, over real HTTP: who may call, how refusals look, how much there is at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from listener.adapters.destinations import Policy
from listener.adapters.key_ring import SupabaseKeyRing
from listener.adapters.outbound import open_outbound
from listener.adapters.supabase_clients import open_clients
from listener.contract import EndpointConfig, EndpointLimits, EndpointStatus, Fetch, Fetched
from listener.endpoints import Endpoints
from listener.errors import (
    AttemptFailure,
    ConfigError,
    InputUnavailable,
    InputUnreachable,
    ModelUnavailable,
    ProviderBusy,
    RuntimeDied,
    TimeLimit,
)
from listener.http.callers import Callers
from listener.http.endpoints import BODY_BYTES, EndpointDoor
from listener.http.server import serving
from listener.registry import load_endpoints
from listener.settings import load_settings

BRINGS = """
from listener.errors import ConfigError

class Works:
    def __init__(self, config):
        self.config = config

def lacks(config):
    raise ConfigError("its library is not installed")
"""


class Params(BaseModel):
    """What the endpoint of these tests takes."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field("https://example.com/a.png", max_length=100)
    size: int = Field(1, ge=1, le=10)


class Held:
    """An endpoint that answers when the test lets it, or fails as the test wants."""

    path: ClassVar[str] = "/held"
    part: ClassVar[str] = "held"
    limits: ClassVar[EndpointLimits] = EndpointLimits(at_once=2, waiting=1, within_s=20)
    Params: type[Params] = Params

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.failure: Exception | None = None
        self.at_work = self.most_at_work = 0
        self.changed = asyncio.Condition()

    async def run(self, params: Params, fetch: Fetch) -> Mapping[str, Any]:
        self.at_work += 1
        self.most_at_work = max(self.at_work, self.most_at_work)
        async with self.changed:
            self.changed.notify_all()
        try:
            await self.go.wait()
            if self.failure is not None:
                raise self.failure
            fetched = await fetch(params.source, "source")
            return {"size": params.size, "bytes": len(fetched.data)}
        finally:
            self.at_work -= 1

    def status(self) -> EndpointStatus:
        return EndpointStatus(self.failure is None, "as the test wants")

    async def close(self) -> None:
        self.go.set()


async def fetch(_source: str, _field: str = "") -> Fetched:
    return Fetched(b"four", "image/png")


async def let_in(request: web.Request) -> UUID | None:
    store = request.headers.get("X-Store")
    return UUID(store) if store else None


@asynccontextmanager
async def client(endpoint: Held) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        serving("127.0.0.1", 0, [EndpointDoor(endpoint, fetch, let_in).route()]) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


async def post(
    session: aiohttp.ClientSession, store: UUID | None = None, **given: Any
) -> tuple[int, Any, Mapping[str, str]]:
    headers = {"X-Store": str(store)} if store else {}
    async with session.post("/held", json=given, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


async def test_an_answer_is_the_endpoints_own_json_and_carries_the_request_id() -> None:
    async with client(Held()) as session:
        async with session.post("/held", json={"size": 3}, headers={"X-Request-Id": "r-1"}) as answer:
            assert (answer.status, await answer.json()) == (200, {"size": 3, "bytes": 4})
            assert answer.headers["X-Request-Id"] == "r-1"
        async with session.get("/held") as answer:
            assert answer.status == 405


async def test_a_field_that_cannot_be_used_is_named_with_a_remedy_and_without_its_value() -> None:
    async with client(Held()) as session:
        status, body, _ = await post(session, size=11, colour="CANARY")
    assert status == 422
    assert body["error"]["code"] == "INVALID_PARAMS"
    fields = {one["field"]: one["remedy"] for one in body["error"]["details"]["fields"]}
    assert fields == {"size": "give at most 10", "colour": "leave this field out"}
    assert "CANARY" not in json.dumps(body)


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "MALFORMED_JSON"),
        (b'{"size": NaN}', "application/json", 400, "MALFORMED_JSON"),
        (b"{}", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"[]", "application/json", 422, "INVALID_PARAMS"),
        (b" " * (BODY_BYTES + 1), "application/json", 413, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_a_body_that_is_no_request_is_refused_in_the_uniform_shape(
    data: bytes, content_type: str, status: int, code: str
) -> None:
    async with client(Held()) as session:
        async with session.post("/held", data=data, headers={"Content-Type": content_type}) as answer:
            body = await answer.json()
        assert (answer.status, body["error"]["code"]) == (status, code)
        assert set(body["error"]) == {"code", "message", "details"}
        problems = [(one["field"], one["message"]) for one in body["error"]["details"].get("fields", [])]
        assert problems == ([("body", "is not an object")] if code == "INVALID_PARAMS" else [])


@pytest.mark.parametrize(
    ("failure", "status", "retry_after"),
    [
        (InputUnavailable("is broken", details={"field": "source", "remedy": "another"}), 422, None),
        (InputUnreachable("its server is away"), 502, "2"),
        (ProviderBusy(retry_after_s=17.2), 503, "17"),
        (ModelUnavailable("it does not start"), 503, "2"),
        (RuntimeDied("it was killed"), 503, "2"),
        (TimeLimit("it took too long"), 503, "2"),
        (AttemptFailure("/home/secret CANARY"), 500, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_failure_is_told_in_the_words_of_the_taxonomy_with_when_to_come_again(
    failure: AttemptFailure, status: int, retry_after: str | None
) -> None:
    endpoint = Held()
    endpoint.failure = failure
    async with client(endpoint) as session:
        got, body, headers = await post(session)
    assert got == status
    assert body["error"] == {
        "code": failure.code.upper(),
        "message": failure.public_message,
        "details": failure.details,
    }
    assert headers.get("Retry-After") == retry_after


async def test_what_nobody_foresaw_is_500_and_its_text_stays_in_the_log() -> None:
    endpoint = Held()
    endpoint.failure = KeyError("CANARY")
    async with client(endpoint) as session:
        status, body, _ = await post(session)
    assert (status, body["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert "CANARY" not in json.dumps(body)


async def test_so_many_work_so_many_wait_and_the_next_one_is_told_to_come_again() -> None:
    endpoint = Held()
    endpoint.go.clear()
    async with client(endpoint) as session, asyncio.TaskGroup() as group:
        asked = [group.create_task(post(session)) for _ in range(2)]
        async with endpoint.changed:
            await endpoint.changed.wait_for(lambda: endpoint.at_work == 2)
        asked.append(group.create_task(post(session)))
        refused = group.create_task(post(session))
        done, _ = await asyncio.wait([*asked, refused], return_when=asyncio.FIRST_COMPLETED)
        (first,) = done
        status, body, headers = first.result()
        assert (status, body["error"]["code"]) == (503, "BUSY")
        assert int(headers["Retry-After"]) >= 1
        endpoint.go.set()
    ended = sorted(task.result()[0] for task in [*asked, refused])
    assert ended == [200, 200, 200, 503]
    assert endpoint.most_at_work == 2


async def test_one_store_takes_half_of_the_places_and_leaves_the_others_to_others() -> None:
    endpoint, slow, other = Held(), UUID(int=1), UUID(int=2)
    endpoint.limits = EndpointLimits(at_once=4, waiting=4, within_s=20)  # type: ignore[misc]
    endpoint.go.clear()
    async with client(endpoint) as session, asyncio.TaskGroup() as group:
        asked = [group.create_task(post(session, slow)) for _ in range(5)]
        (refused,), waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert (refused.result()[0], refused.result()[1]["error"]["code"]) == (503, "BUSY")
        asked.append(group.create_task(post(session, other)))
        async with endpoint.changed:
            await endpoint.changed.wait_for(lambda: endpoint.at_work == 3)
        endpoint.go.set()
    assert sorted(task.result()[0] for task in asked) == [200] * 5 + [503]
    assert len(waiting) == 4
    assert endpoint.most_at_work == 3, "two of the store, however many places were free"


async def test_a_request_ends_in_time_and_frees_its_place() -> None:
    endpoint = Held()
    endpoint.limits = EndpointLimits(at_once=1, waiting=0, within_s=0.05)  # type: ignore[misc]
    endpoint.go.clear()
    async with client(endpoint) as session:
        async with asyncio.timeout(10):
            status, body, headers = await post(session)
        assert (status, body["error"]["code"]) == (503, "TIMEOUT")
        assert "Retry-After" in headers
        assert endpoint.at_work == 0
        endpoint.go.set()
        assert (await post(session))[0] == 200


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that brings one endpoint that works here and one that does not."""
    (tmp_path / "brought_endpoints.py").write_text(BRINGS)
    metadata = tmp_path / "brought-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 0\n")
    points = "[listener.endpoints]\nworks = brought_endpoints:Works\nlacking = brought_endpoints:lacks\n"
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("package")
def test_every_endpoint_that_works_here_is_served_unless_some_are_named() -> None:
    config = EndpointConfig("/tmp/cache")
    everyone = load_endpoints((), config)
    assert "works" in everyone
    assert "lacking" not in everyone
    assert list(load_endpoints(("works",), config)) == ["works"]
    assert load_endpoints(("none",), config) == {}


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "words"), [("lacking", "library is not installed"), ("workz", "LISTENER_ENDPOINTS names .* did you mean")]
)
def test_a_named_endpoint_that_cannot_be_served_ends_the_start(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_endpoints((name,), EndpointConfig("/tmp/cache"))


async def test_an_endpoint_of_a_package_asks_for_a_key_unless_the_operator_opens_it() -> None:
    settings = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_SERVICE_ROLE_KEY": "x" * 40}
    for is_open, status in (("false", 401), ("true", 422)):
        endpoints = Endpoints(load_settings({**settings, "LISTENER_ESTIMATE_OPEN": is_open}))
        async with (
            open_clients(settings["SUPABASE_URL"], settings["SUPABASE_SERVICE_ROLE_KEY"], 1) as clients,
            open_outbound(Policy()) as outbound,
            serving("127.0.0.1", 0, endpoints.routes(outbound, Callers(SupabaseKeyRing(clients.calls)))) as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        ):
            for headers in ({}, {"Authorization": "Bearer of-nobody"}):
                async with session.post("/estimate-body", json={}, headers=headers) as answer:
                    assert answer.status == status
        await endpoints.close()

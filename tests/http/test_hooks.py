"""POST /hooks/supabase over real sockets: who may wake the worker, and what everybody else is told."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from standardwebhooks import Webhook

from listener.http import hooks
from listener.http.hooks import Hooks, Secrets
from listener.http.metrics import WebhookAnswers
from listener.http.server import serving
from listener.ports import WatchedTable
from listener.telemetry import log

WATCHED = WatchedTable("public", "headshot_sessions", "headshot")
COUNTER = "listener_webhook_answers_total"
SHARED = "a shared secret of the dashboard"
INSERT = {"type": "INSERT", "schema": "public", "table": "headshot_sessions", "record": None, "old_record": None}
FROM_THE_DASHBOARD = INSERT | {"record": {"id": "5f0c", "prompt": "CANARY", "status": "queued"}, "user_id": None}
JSON = {"Content-Type": "application/json"}


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


SECRET, OLD_SECRET, STRANGE_SECRET = new_secret(), new_secret(), new_secret()


class Endpoint:
    """The endpoint as a sender meets it, and how often it woke the worker."""

    def __init__(self, hooks_: Hooks, session: aiohttp.ClientSession) -> None:
        self.hooks = hooks_
        self.woken = 0
        self._session = session

    async def post(self, data: Any, headers: dict[str, str]) -> tuple[int, Any]:
        """Send raw bytes; status and JSON."""
        async with self._session.post("/hooks/supabase", data=data, headers=JSON | headers) as answer:
            return answer.status, await answer.json()

    async def refused(self, data: Any, headers: dict[str, str]) -> tuple[int, str]:
        """Send what must not wake anybody; status and code."""
        status, body = await self.post(data, headers)
        assert set(body["error"]) == {"code", "message", "details"}
        assert self.woken == 0
        assert self.hooks.outcomes == {body["error"]["code"]: 1}
        return status, body["error"]["code"]


@asynccontextmanager
async def endpoint(
    signing: Sequence[str] = (SECRET,), shared: Sequence[str] = (SHARED,), *tables: WatchedTable
) -> AsyncIterator[Endpoint]:
    def hear() -> None:
        opened.woken += 1

    served = Hooks(Secrets(signing, shared), hear, log.get("test"))
    served.watch(tables or [WATCHED])
    async with (
        serving("127.0.0.1", 0, served.routes()) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        opened = Endpoint(served, session)
        yield opened


def signed(body: bytes, secret: str = SECRET, age_s: float = 0.0, **changed: str) -> dict[str, str]:
    """The headers of our own trigger's webhook."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", at, body.decode()),
    }
    return headers | {name.replace("_", "-"): value for name, value in changed.items()}


BODY = json.dumps(INSERT).encode()
PLAIN = json.dumps(FROM_THE_DASHBOARD).encode()


async def test_a_signed_webhook_wakes_and_is_answered_202() -> None:
    async with endpoint() as opened:
        assert await opened.post(BODY, signed(BODY)) == (202, {"status": "accepted"})
        assert opened.woken == 1


async def test_while_the_secret_changes_the_old_and_the_new_one_are_known() -> None:
    async with endpoint([SECRET, OLD_SECRET]) as opened:
        for secret in (SECRET, OLD_SECRET):
            assert (await opened.post(BODY, signed(BODY, secret)))[0] == 202
        assert opened.woken == 2


async def test_a_sender_may_sign_with_several_secrets() -> None:
    both = signed(BODY)
    both["webhook-signature"] = f"{signed(BODY, STRANGE_SECRET)['webhook-signature']} {both['webhook-signature']}"
    async with endpoint() as opened:
        assert (await opened.post(BODY, both))[0] == 202


async def test_the_dashboards_webhook_wakes_by_its_shared_secret() -> None:
    async with endpoint(shared=["the secret before this", SHARED]) as opened:
        assert (await opened.post(PLAIN, {"x-webhook-secret": SHARED}))[0] == 202
        assert (await opened.post(PLAIN, {"X-Webhook-Secret": "the secret before this"}))[0] == 202
        assert opened.woken == 2


# Signed when the test runs: a signature made when the module was read would be stale before long.
FORGED: dict[str, Callable[[], tuple[bytes, dict[str, str]]]] = {
    "another secret": lambda: (BODY, signed(BODY, STRANGE_SECRET)),
    "another body": lambda: (BODY + b" ", signed(BODY)),
    "another id": lambda: (BODY, signed(BODY, webhook_id="msg_2")),
    "a later timestamp": lambda: (
        BODY,
        signed(BODY, age_s=60) | {"webhook-timestamp": signed(BODY)["webhook-timestamp"]},
    ),
    "no id": lambda: (BODY, signed(BODY, webhook_id="")),
    "no timestamp": lambda: (BODY, signed(BODY, webhook_timestamp="")),
    "no signature": lambda: (BODY, signed(BODY, webhook_signature="")),
    "another version": lambda: (
        BODY,
        signed(BODY, webhook_signature=signed(BODY)["webhook-signature"].replace("v1", "v1a")),
    ),
    "no version": lambda: (BODY, signed(BODY, webhook_signature=signed(BODY)["webhook-signature"][3:])),
    "not base64": lambda: (BODY, signed(BODY, webhook_signature="v1,ä!")),
    "a timestamp in words": lambda: (BODY, signed(BODY, webhook_timestamp="today")),
    "no number": lambda: (BODY, signed(BODY, webhook_timestamp="nan")),
    "the end of time": lambda: (BODY, signed(BODY, webhook_timestamp="inf")),
    "a body that is no text": lambda: (b"\xff\xfe", signed(BODY)),
    "no body": lambda: (b"", signed(BODY)),
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_signature_is_refused_and_wakes_nobody(name: str) -> None:
    async with endpoint() as opened:
        assert await opened.refused(*FORGED[name]()) == (401, "SIGNATURE_INVALID")


@pytest.mark.parametrize("age_s", [310.0, 86_400.0, -310.0])
async def test_a_webhook_more_than_five_minutes_old_or_ahead_is_stale(age_s: float) -> None:
    async with endpoint([SECRET, OLD_SECRET]) as opened:
        assert await opened.refused(BODY, signed(BODY, age_s=age_s)) == (401, "SIGNATURE_STALE")


async def test_a_webhook_nearly_five_minutes_old_still_wakes() -> None:
    async with endpoint() as opened:
        assert (await opened.post(BODY, signed(BODY, age_s=280)))[0] == 202


@pytest.mark.parametrize("offered", ["", "wrong", SHARED + "x", SHARED[:-1], SHARED.upper(), "schlüssel"])
async def test_a_wrong_shared_secret_is_refused_before_the_body_is_read(offered: str) -> None:
    async with endpoint() as opened:
        assert await opened.refused(b"not read", {"x-webhook-secret": offered}) == (401, "SECRET_INVALID")


async def test_a_bad_signature_is_not_rescued_by_a_shared_secret_beside_it() -> None:
    headers = signed(BODY, STRANGE_SECRET) | {"x-webhook-secret": SHARED}
    async with endpoint() as opened:
        assert (await opened.refused(BODY, headers))[0] == 401


@pytest.mark.parametrize(
    ("signing", "shared", "headers", "accepted"),
    [
        ([SECRET], [SHARED], {}, ["webhook-signature", "x-webhook-secret"]),
        ([SECRET], [], {"x-webhook-secret": SHARED}, ["webhook-signature"]),
        ([], [SHARED], signed(BODY), ["x-webhook-secret"]),
    ],
)
async def test_a_webhook_without_proof_is_told_which_proof_is_known_here(
    signing: list[str], shared: list[str], headers: dict[str, str], accepted: list[str]
) -> None:
    async with endpoint(signing, shared) as opened:
        status, body = await opened.post(BODY, headers)
        assert (status, body["error"]["code"], opened.woken) == (401, "WEBHOOK_UNPROVEN", 0)
        assert body["error"]["details"] == {"accepted": accepted}


async def test_without_any_secret_the_endpoint_is_off_and_says_so() -> None:
    async with endpoint([], []) as opened:
        assert await opened.refused(BODY, signed(BODY)) == (404, "WEBHOOKS_OFF")


MALFORMED = {
    "no JSON": b"type=INSERT",
    "nothing": b"",
    "not an object": b'["INSERT"]',
    "deeper than any stack": b"[" * 15_000,
    "no table": json.dumps({"type": "INSERT", "schema": "public"}).encode(),
    "a table that is a number": json.dumps(INSERT | {"table": 7}).encode(),
    "an endless table": json.dumps(INSERT | {"table": "t" * 201}).encode(),
    "another type": json.dumps(INSERT | {"type": "TRUNCATE"}).encode(),
    "not UTF-8": b'{"type": "INSERT", "schema": "public", "table": "\xff"}',
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_database_webhook_is_refused_with_the_place_named(name: str) -> None:
    async with endpoint() as opened:
        status, code = await opened.refused(MALFORMED[name], {"x-webhook-secret": SHARED})
        assert (status, code) == (400, "WEBHOOK_MALFORMED")


async def test_a_problem_names_the_field_and_never_shows_what_was_sent() -> None:
    async with endpoint() as opened:
        _, body = await opened.post(json.dumps({"type": "CANARY", "schema": 7}), {"x-webhook-secret": SHARED})
        problems = body["error"]["details"]["problems"]
        assert [problem.split(":")[0] for problem in problems] == ["type", "schema", "table"]
        assert "CANARY" not in str(body)


@pytest.mark.parametrize("type_", ["UPDATE", "DELETE"])
async def test_only_inserts_wake(type_: str) -> None:
    async with endpoint() as opened:
        body = json.dumps(INSERT | {"type": type_}).encode()
        assert await opened.refused(body, signed(body)) == (422, "EVENT_NOT_INSERT")


@pytest.mark.parametrize("place", [{"table": "invoices"}, {"schema": "private"}])
async def test_a_table_that_is_not_served_is_refused_with_those_that_are(place: dict[str, str]) -> None:
    async with endpoint() as opened:
        body = json.dumps(INSERT | place).encode()
        status, answer = await opened.post(body, signed(body))
        assert (status, answer["error"]["code"], opened.woken) == (422, "TABLE_NOT_SERVED", 0)
        assert answer["error"]["details"]["served"] == ["public.headshot_sessions"]


async def test_before_the_worker_knows_its_tables_a_webhook_wakes_for_any() -> None:
    async with endpoint() as opened:
        opened.hooks._tables = None
        body = json.dumps(INSERT | {"table": "tryon_sessions"}).encode()
        assert (await opened.post(body, signed(body)))[0] == 202


async def test_a_table_that_is_watched_later_is_served_from_then_on() -> None:
    body = json.dumps(INSERT | {"table": "tryon_sessions"}).encode()
    async with endpoint() as opened:
        assert (await opened.post(body, signed(body)))[0] == 422
        opened.hooks.watch([WATCHED, WatchedTable("public", "tryon_sessions", "tryon")])
        assert (await opened.post(body, signed(body)))[0] == 202


async def drip(size: int) -> AsyncIterator[bytes]:
    """A body of no declared length."""
    for _ in range(size // 4096):
        yield b" " * 4096


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(
    ("headers", "limit"), [(signed(BODY), hooks.SIGNED_BYTES), ({"x-webhook-secret": SHARED}, hooks.PLAIN_BYTES)]
)
async def test_a_huge_body_is_refused_and_not_kept(declared: bool, headers: dict[str, str], limit: int) -> None:
    data = io.BytesIO(b" " * (limit + 1)) if declared else drip(limit + 8192)
    async with endpoint() as opened:
        assert await opened.refused(data, headers) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_row_that_is_large_and_in_bounds_wakes() -> None:
    row = json.dumps(FROM_THE_DASHBOARD | {"record": {"image": "x" * 900_000}}).encode()
    async with endpoint() as opened:
        assert (await opened.post(row, {"x-webhook-secret": SHARED}))[0] == 202


async def status_line(opened: Endpoint, length: int, start: bytes) -> bytes:
    """What is answered to a head with this length and the first bytes of a body that never goes on."""
    url = opened._session._base_url
    assert url is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /hooks/supabase HTTP/1.1\r\nHost: x\r\nx-webhook-secret: {SHARED}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode() + start)
    try:
        async with asyncio.timeout(4):
            return await reader.readline()
    finally:
        writer.close()


async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listener.http.body.READ_S", 0.2)
    async with endpoint() as opened:
        assert b" 408 " in await status_line(opened, 100, b"{")
        assert opened.woken == 0


async def test_a_body_that_says_it_is_huge_is_not_waited_for() -> None:
    async with endpoint() as opened:
        assert b" 413 " in await status_line(opened, 10**9, b"")


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (BODY, {"Content-Type": "text/plain"}),
        (BODY, {"Content-Type": "application/x-www-form-urlencoded"}),
        (gzip.compress(BODY), {"Content-Encoding": "gzip"}),
    ],
)
async def test_only_json_as_it_is_is_read(data: bytes, headers: dict[str, str]) -> None:
    async with endpoint() as opened:
        assert await opened.refused(data, signed(BODY) | headers) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_another_method_is_refused() -> None:
    async with endpoint() as opened, opened._session.get("/hooks/supabase") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What the process logs, as it would on stderr."""
    text, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log.configure("DEBUG", text)
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_a_flood_of_refusals_is_one_line_in_the_log(logged: io.StringIO) -> None:
    async with endpoint() as opened:
        for _ in range(50):
            await opened.post(BODY, signed(BODY, STRANGE_SECRET))
        assert opened.hooks.outcomes["SIGNATURE_INVALID"] == 50
    assert logged.getvalue().count("webhook_refused") == 1


async def test_what_was_answered_is_counted_by_its_code_for_a_scrape() -> None:
    async with endpoint() as opened:
        registry = CollectorRegistry()
        registry.register(WebhookAnswers(opened.hooks.outcomes))
        for headers in (signed(BODY), signed(BODY), signed(BODY, STRANGE_SECRET)):
            await opened.post(BODY, headers)
    told = {code: registry.get_sample_value(COUNTER, {"code": code}) for code in ("accepted", "SIGNATURE_INVALID")}
    assert told == {"accepted": 2, "SIGNATURE_INVALID": 1}


async def test_neither_secrets_nor_rows_are_in_the_log_or_the_answers(logged: io.StringIO) -> None:
    said = []
    async with endpoint() as opened:
        for body, headers in ((PLAIN[:-1], {"x-webhook-secret": SHARED}), (PLAIN, {"x-webhook-secret": "CANARY"})):
            said.append(await opened.post(body, headers))
        assert "whsec_" not in repr(opened.hooks._secrets)
    assert [status for status, _ in said] == [400, 401]
    assert logged.getvalue().count("webhook_refused") == 2
    for secret in ("CANARY", SHARED, SECRET):
        assert secret not in f"{logged.getvalue()} {said}"

"""Promises of the gateway: who is let through, and whom the services then see."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest

from devstack.stack import Stack

ROWS = "/rest/v1/headshot_sessions"
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url) as client:
        yield client


@pytest.mark.parametrize("path", [ROWS, "/auth/v1/user", "/realtime/v1/websocket", "/rest/v1/rpc/cancel_session"])
async def test_without_a_project_key_nothing_is_answered(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 401
    assert answer.json()["message"] == "No API key found in request"
    assert answer.json()["hint"] == "No `apikey` request header or url param was found."


@pytest.mark.parametrize("key", ["nonsense", "sb_secret_made_up", ""])
async def test_a_wrong_project_key_is_refused(http: httpx.AsyncClient, stack: Stack, key: str) -> None:
    answer = await http.get(ROWS, headers={"apikey": key, "Authorization": f"Bearer {stack.keys.service_role_key}"})
    assert answer.status_code == 401
    assert answer.json()["message"] in {"Invalid API key", "No API key found in request"}


async def test_a_users_token_is_no_project_key(http: httpx.AsyncClient, stack: Stack) -> None:
    token = stack.keys.mint({"role": "service_role"}, 60)
    assert (await http.get(ROWS, headers={"apikey": token})).json()["message"] == "Invalid API key"


async def test_each_key_has_its_role(http: httpx.AsyncClient, stack: Stack) -> None:
    for key, status in (
        (stack.keys.service_role_key, 200),
        (stack.keys.secret_key, 200),
        (stack.keys.anon_key, 401),
        (stack.keys.publishable_key, 401),
    ):
        for headers in ({"apikey": key}, {"apikey": key, "Authorization": f"Bearer {key}"}):
            answer = await http.get(ROWS, headers=headers)
            assert answer.status_code == status, answer.text
        assert (await http.get(ROWS, params={"apikey": key, "select": "id"})).status_code in {status, 400}


async def test_an_opaque_key_is_no_bearer_token_of_its_own(http: httpx.AsyncClient, stack: Stack) -> None:
    keys = stack.keys
    answer = await http.get(
        ROWS, headers={"apikey": keys.publishable_key, "Authorization": f"Bearer {keys.secret_key}"}
    )
    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid API key")


async def test_a_users_token_goes_through_beside_an_opaque_key(http: httpx.AsyncClient, stack: Stack) -> None:
    token = stack.keys.mint({"role": "service_role"}, 60)
    headers = {"apikey": stack.keys.publishable_key, "Authorization": f"Bearer {token}"}
    assert (await http.get(ROWS, headers=headers)).status_code == 200


async def test_a_secret_key_is_refused_in_a_browser(http: httpx.AsyncClient, stack: Stack) -> None:
    answer = await http.get(ROWS, headers={"apikey": stack.keys.secret_key, **FIREFOX})
    assert (answer.status_code, answer.json()["message"]) == (401, "Forbidden use of secret API key in browser")
    assert (await http.get(ROWS, headers={"apikey": stack.keys.service_role_key, **FIREFOX})).status_code == 200


async def test_storage_asks_for_no_project_key_and_takes_an_opaque_one(http: httpx.AsyncClient, stack: Stack) -> None:
    assert (await http.get("/storage/v1/bucket")).json()["message"] == (
        "headers must have required property 'authorization'"
    )
    buckets = (await http.get("/storage/v1/bucket", headers={"apikey": stack.keys.secret_key})).json()
    assert "headshots" in [bucket["id"] for bucket in buckets]


async def test_the_keys_that_verify_tokens_are_public(http: httpx.AsyncClient) -> None:
    assert (await http.get("/auth/v1/.well-known/jwks.json")).status_code == 200


async def test_a_refusal_may_be_read_by_a_page(http: httpx.AsyncClient) -> None:
    answer = await http.get(ROWS, headers={"Origin": "http://elsewhere.example"})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, "*")


async def test_realtime_takes_an_opaque_key(stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        for key in (stack.keys.publishable_key, stack.keys.secret_key):
            params = {"apikey": key, "vsn": "1.0.0"}
            async with session.ws_connect(f"{stack.url}/realtime/v1/websocket", params=params) as socket:
                await socket.send_json({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"})
                assert (await socket.receive_json(timeout=10))["payload"]["status"] == "ok"


async def test_an_unknown_address_is_answered_as_the_gateway_does(http: httpx.AsyncClient) -> None:
    answer = await http.get("/functions/v1/hello")
    assert (answer.status_code, answer.json()) == (404, {"message": "no Route matched with those values"})

"""Promises of sessions: a refresh token is exchanged once, a stolen one ends the session, sign-out has its scopes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import httpx
import pytest

from devstack.stack import Stack

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
LONG_AGO = "update auth.refresh_tokens set updated_at = now() - interval '1 minute'"
ACCOUNT = {"email": "ada@example.com", "password": "correct horse"}


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{stack.url}/auth/v1", headers={"apikey": stack.keys.anon_key}) as client:
        yield client


async def opened(http: httpx.AsyncClient, grant: str | None = None) -> dict[str, Any]:
    """A session: of a stranger, or of the account."""
    path = "/signup" if grant is None else f"/token?grant_type={grant}"
    answer = await http.post(path, json={} if grant is None else ACCOUNT)
    assert answer.status_code == 200, answer.text
    session: dict[str, Any] = answer.json()
    return session


async def present(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post("/token?grant_type=refresh_token", json={"refresh_token": token})


async def refreshed(http: httpx.AsyncClient, token: str) -> str:
    answer = await present(http, token)
    assert answer.status_code == 200, answer.text
    fresh: str = answer.json()["refresh_token"]
    return fresh


async def status(http: httpx.AsyncClient, session: dict[str, Any]) -> int:
    """What the session's access token is answered."""
    return (await http.get("/user", headers=bearer(session))).status_code


def bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


async def test_a_session_is_prolonged_by_a_new_token_each_time(http: httpx.AsyncClient, stack: Stack) -> None:
    first = await opened(http)
    answer = (await present(http, first["refresh_token"])).json()
    assert answer["refresh_token"] != first["refresh_token"]
    before, after = stack.keys.decode(first["access_token"]), stack.keys.decode(answer["access_token"])
    assert before["session_id"] == after["session_id"]
    assert [each["method"] for each in after["amr"]] == ["anonymous"]
    assert before["amr"] == after["amr"]


async def test_a_client_that_lost_the_answer_gets_the_same_token_again(
    http: httpx.AsyncClient, connection: Connection
) -> None:
    first = (await opened(http))["refresh_token"]
    second = await refreshed(http, first)
    await connection.execute(LONG_AGO)
    assert await refreshed(http, first) == second
    assert await refreshed(http, second) not in {first, second}


async def test_a_token_used_long_ago_ends_the_whole_session(http: httpx.AsyncClient, connection: Connection) -> None:
    first = (await opened(http))["refresh_token"]
    second = await refreshed(http, first)
    third = await refreshed(http, second)
    await connection.execute(LONG_AGO)
    for token in (first, third):
        answer = await present(http, token)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "refresh_token_already_used")
        assert answer.json()["msg"] == "Invalid Refresh Token: Already Used"
        await connection.execute(LONG_AGO)
    assert await connection.fetchval("select count(*) from auth.refresh_tokens where not revoked") == 0


async def test_two_tabs_may_refresh_at_once(http: httpx.AsyncClient) -> None:
    token = (await opened(http))["refresh_token"]
    answers = await asyncio.gather(*(present(http, token) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_an_unknown_and_a_missing_token_are_refused(http: httpx.AsyncClient) -> None:
    unknown = await present(http, "made-up")
    assert (unknown.status_code, unknown.json()["error_code"]) == (400, "refresh_token_not_found")
    missing = await http.post("/token?grant_type=refresh_token", json={})
    assert (missing.status_code, missing.json()) == (
        400,
        {"error": "invalid_request", "error_description": "refresh_token required"},
    )
    assert (await http.post("/token?grant_type=magic", json={})).json()["msg"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    ("scope", "own", "other"), [("local", 403, 200), ("others", 200, 403), ("global", 403, 403), ("", 403, 403)]
)
async def test_signing_out_ends_the_sessions_of_its_scope(
    http: httpx.AsyncClient, scope: str, own: int, other: int
) -> None:
    await http.post("/signup", json=ACCOUNT)
    here, there = await opened(http, "password"), await opened(http, "password")
    stranger = await opened(http)
    answer = await http.post(f"/logout?scope={scope}", headers=bearer(here))
    assert (answer.status_code, answer.content) == (204, b"")
    assert [await status(http, session) for session in (here, there, stranger)] == [own, other, 200]
    again = await present(http, here["refresh_token"])
    assert again.status_code == (200 if own == 200 else 400)


async def test_signing_out_twice_and_an_unknown_scope_are_refused(http: httpx.AsyncClient) -> None:
    session = await opened(http)
    unknown = await http.post("/logout?scope=some", headers=bearer(session))
    assert (unknown.status_code, unknown.json()["msg"]) == (400, 'Unsupported logout scope "some"')
    assert (await http.post("/logout", headers=bearer(session))).status_code == 204
    again = await http.post("/logout", headers=bearer(session))
    assert (again.status_code, again.json()["error_code"]) == (403, "session_not_found")


async def test_a_banned_user_neither_signs_in_nor_refreshes(http: httpx.AsyncClient, connection: Connection) -> None:
    session = (await http.post("/signup", json=ACCOUNT)).json()
    await connection.execute("update auth.users set banned_until = now() + interval '1 day'")
    assert (await present(http, session["refresh_token"])).json()["error_code"] == "user_banned"
    assert (await http.post("/token?grant_type=password", json=ACCOUNT)).json()["error_code"] == "user_banned"


async def test_the_life_of_access_tokens_is_a_fault_that_can_be_switched(stack: Stack, http: httpx.AsyncClient) -> None:
    stack.faults.token_life_s = -60
    session = await opened(http)
    assert session["expires_in"] == -60
    answer = await http.get("/user", headers=bearer(session))
    assert (answer.status_code, answer.json()["error_code"]) == (403, "bad_jwt")
    stack.faults.heal()
    alive = (await present(http, session["refresh_token"])).json()
    assert await status(http, alive) == 200

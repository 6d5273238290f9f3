"""Promises of sign-in, asked by the official client and, where it hides the wire, by raw requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import httpx
import jwt
import pytest
from supabase import AsyncClient, AsyncClientOptions, create_async_client
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError

from devstack.stack import Stack

EMAIL, PASSWORD = "ada@example.com", "correct horse"


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{stack.url}/auth/v1", headers={"apikey": stack.keys.anon_key}) as client:
        yield client


@pytest.fixture
async def client(stack: Stack, http: httpx.AsyncClient) -> AsyncClient:
    options = AsyncClientOptions(auto_refresh_token=False, httpx_client=http)
    return await create_async_client(stack.url, stack.keys.anon_key, options)


async def test_anyone_may_sign_in_anonymously_and_is_somebody(stack: Stack, client: AsyncClient) -> None:
    answer = await client.auth.sign_in_anonymously({"options": {"data": {"theme": "dark"}}})
    assert answer.user is not None
    assert answer.session is not None
    assert (answer.user.is_anonymous, answer.user.user_metadata, answer.user.role) == (
        True,
        {"theme": "dark"},
        "authenticated",
    )
    claims = stack.keys.decode(answer.session.access_token)
    assert (claims["sub"], claims["role"], claims["aud"]) == (answer.user.id, "authenticated", "authenticated")
    assert (claims["is_anonymous"], claims["iss"]) == (True, f"{stack.url}/auth/v1")
    rows = (await client.table("headshot_sessions").insert({"prompt": "a man"}).execute()).data
    assert rows[0]["user_id"] == answer.user.id


async def test_two_strangers_are_two_people(client: AsyncClient) -> None:
    first = (await client.auth.sign_in_anonymously()).user
    second = (await client.auth.sign_in_anonymously()).user
    assert first is not None
    assert second is not None
    assert first.id != second.id


async def test_an_account_signs_up_once_and_in_with_its_password_only(client: AsyncClient) -> None:
    created = (await client.auth.sign_up({"email": EMAIL, "password": PASSWORD})).user
    assert created is not None
    with pytest.raises(AuthApiError) as taken:
        await client.auth.sign_up({"email": EMAIL.upper(), "password": PASSWORD})
    assert (taken.value.status, taken.value.code) == (422, "user_already_exists")
    entered = (await client.auth.sign_in_with_password({"email": EMAIL, "password": PASSWORD})).user
    assert entered is not None
    assert (entered.id, entered.is_anonymous, entered.email) == (created.id, False, EMAIL)
    for email, password in ((EMAIL, "wrong horse"), ("nobody@example.com", PASSWORD)):
        with pytest.raises(AuthApiError) as refused:
            await client.auth.sign_in_with_password({"email": email, "password": password})
        assert (refused.value.message, refused.value.code) == ("Invalid login credentials", "invalid_credentials")
    with pytest.raises(AuthWeakPasswordError, match="at least 6 characters"):
        await client.auth.sign_up({"email": "b@example.com", "password": "short"})


async def test_a_password_is_never_stored_as_it_is(client: AsyncClient, connection: asyncpg.Connection) -> None:
    await client.auth.sign_up({"email": EMAIL, "password": PASSWORD})
    stored = await connection.fetchval("select encrypted_password from auth.users where email = $1", EMAIL)
    assert stored.startswith("scrypt$")
    assert PASSWORD not in stored


async def test_a_user_is_told_only_to_whoever_proves_to_be_him(stack: Stack, http: httpx.AsyncClient) -> None:
    forged = jwt.encode({"sub": "11111111-1111-4111-8111-111111111111"}, "another secret, long enough to be one")
    for token in (forged, "garbage", stack.keys.anon_key):
        answer = await http.get("/user", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["error_code"]) == (403, "bad_jwt")
    nobody = stack.keys.mint({"sub": "11111111-1111-4111-8111-111111111111"}, 60)
    answer = await http.get("/user", headers={"Authorization": f"Bearer {nobody}"})
    assert (answer.status_code, answer.json()["error_code"]) == (403, "user_not_found")
    answer = await http.get("/user", headers={"Authorization": "Basic x"})
    assert (answer.status_code, answer.json()["error_code"]) == (401, "no_authorization")


async def test_errors_have_the_shape_that_the_client_asked_for(http: httpx.AsyncClient) -> None:
    ask = {"email": EMAIL, "password": "wrong"}
    old = await http.post("/token?grant_type=password", json=ask)
    assert old.json() == {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}
    version = {"X-Supabase-Api-Version": "2024-01-01"}
    new = await http.post("/token?grant_type=password", json=ask, headers=version)
    assert new.json() == {"code": "invalid_credentials", "message": "Invalid login credentials"}
    assert new.headers["X-Supabase-Api-Version"] == "2024-01-01"
    assert (await http.post("/signup", content="{")).json()["error_code"] == "bad_json"


async def test_nobody_reads_the_users_over_rest(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=f"{stack.url}/rest/v1") as rest:
        headers = {"apikey": stack.keys.service_role_key, "Accept-Profile": "auth"}
        assert (await rest.get("/users", headers=headers)).status_code == 406

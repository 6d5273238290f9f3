"""Promises of the user: what is told of him, what he may change, and that his tokens can be verified by anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import httpx
import jwt
import pytest
from supabase import AsyncClient, AsyncClientOptions, create_async_client

from devstack.stack import Stack

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
ACCOUNT = {"email": "ada@example.com", "password": "correct horse", "data": {"theme": "dark"}}


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{stack.url}/auth/v1", headers={"apikey": stack.keys.anon_key}) as client:
        yield client


@pytest.fixture
async def client(stack: Stack, http: httpx.AsyncClient) -> AsyncClient:
    options = AsyncClientOptions(auto_refresh_token=False, httpx_client=http)
    return await create_async_client(stack.url, stack.keys.anon_key, options)


async def signed_up(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    session: dict[str, Any] = (await http.post("/signup", json=body)).json()
    http.headers["Authorization"] = f"Bearer {session['access_token']}"
    return session


async def changed(http: httpx.AsyncClient, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = await http.put("/user", json=body)
    return answer.status_code, answer.json()


async def test_a_users_token_verifies_with_the_published_key(stack: Stack, http: httpx.AsyncClient) -> None:
    token = (await signed_up(http))["access_token"]
    (key,) = (await http.get("/.well-known/jwks.json")).json()["keys"]
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    assert "d" not in key
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": key["kid"], "typ": "JWT"}
    claims = jwt.decode(token, jwt.PyJWK(key), algorithms=["ES256"], audience="authenticated")
    assert claims["iss"] == f"{stack.url}/auth/v1"


async def test_the_official_client_verifies_it_without_asking_the_server(client: AsyncClient) -> None:
    session = (await client.auth.sign_in_anonymously()).session
    assert session is not None
    told = await client.auth.get_claims(session.access_token)
    assert told is not None
    assert told["claims"]["role"] == "authenticated"


async def test_both_signatures_open_every_service(stack: Stack, http: httpx.AsyncClient) -> None:
    token = (await signed_up(http))["access_token"]
    legacy = stack.keys.mint({**stack.keys.decode(token)}, 60)
    for each in (token, legacy):
        headers = {"Authorization": f"Bearer {each}"}
        for path in ("rest/v1/headshot_sessions?select=id", "storage/v1/bucket", "auth/v1/user"):
            assert (await http.get(f"{stack.url}/{path}", headers=headers)).status_code == 200, path


async def test_a_key_of_another_project_opens_nothing(stack: Stack, http: httpx.AsyncClient) -> None:
    claims = stack.keys.decode((await signed_up(http))["access_token"])
    other = type(stack.keys).generate()
    for kid in (other.signing_key.id, stack.keys.signing_key.id):
        forged = jwt.encode(claims, other.signing_key.private, "ES256", headers={"kid": kid})
        headers = {"Authorization": f"Bearer {forged}"}
        assert (await http.get("/user", headers=headers)).status_code == 403
        answer = await http.get(f"{stack.url}/rest/v1/headshot_sessions", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "PGRST301")


async def test_a_user_is_told_as_the_real_server_tells_him(http: httpx.AsyncClient) -> None:
    user = (await signed_up(http, **ACCOUNT))["user"]
    told = (await http.get("/user")).json()
    assert told == user
    assert told["user_metadata"] == {
        "theme": "dark",
        "sub": user["id"],
        "email": "ada@example.com",
        "email_verified": True,
        "phone_verified": False,
    }
    assert told["app_metadata"] == {"provider": "email", "providers": ["email"]}
    (identity,) = told["identities"]
    assert (identity["id"], identity["provider"], identity["email"]) == (user["id"], "email", "ada@example.com")
    assert told["confirmed_at"] == told["email_confirmed_at"]
    assert "encrypted_password" not in told


async def test_a_stranger_has_no_identity_and_nothing_confirmed(http: httpx.AsyncClient) -> None:
    user = (await signed_up(http, data={"theme": "dark"}))["user"]
    assert (user["is_anonymous"], user["identities"], user["email"]) == (True, [], "")
    assert (user["user_metadata"], user["app_metadata"]) == ({"theme": "dark"}, {})
    assert {"email_confirmed_at", "confirmed_at", "banned_until"}.isdisjoint(user)


async def test_metadata_is_merged_and_null_takes_away(http: httpx.AsyncClient) -> None:
    await signed_up(http, data={"theme": "dark", "deep": {"kept": None}})
    _, user = await changed(http, data={"size": 2, "theme": None})
    assert user["user_metadata"] == {"size": 2, "deep": {"kept": None}}


async def test_a_new_password_must_be_new_and_ends_the_other_sessions(http: httpx.AsyncClient) -> None:
    await signed_up(http, **ACCOUNT)
    elsewhere = (await http.post("/token?grant_type=password", json=ACCOUNT)).json()
    status, problem = await changed(http, password=ACCOUNT["password"])
    assert (status, problem["error_code"]) == (422, "same_password")
    status, problem = await changed(http, password="short")
    assert (status, problem["weak_password"]) == (422, {"reasons": ["length"]})
    assert (await changed(http, password="another horse"))[0] == 200
    assert (await http.get("/user")).status_code == 200
    there = {"Authorization": f"Bearer {elsewhere['access_token']}"}
    assert (await http.get("/user", headers=there)).json()["error_code"] == "session_not_found"
    assert (await http.post("/token?grant_type=password", json=ACCOUNT)).status_code == 400
    entered = await http.post("/token?grant_type=password", json={**ACCOUNT, "password": "another horse"})
    assert entered.status_code == 200


async def test_a_stranger_becomes_somebody_and_keeps_his_id(http: httpx.AsyncClient) -> None:
    stranger = (await signed_up(http))["user"]
    status, problem = await changed(http, password="correct horse")
    assert (status, problem["error_code"]) == (422, "validation_failed")
    status, user = await changed(http, email="Ada@Example.com", password="correct horse")
    assert (status, user["id"], user["is_anonymous"], user["email"]) == (
        200,
        stranger["id"],
        False,
        "ada@example.com",
    )
    entered = (await http.post("/token?grant_type=password", json=ACCOUNT)).json()
    assert entered["user"]["id"] == stranger["id"]


async def test_an_address_is_taken_once_and_changes_by_no_mail_here(http: httpx.AsyncClient) -> None:
    await signed_up(http, **ACCOUNT)
    status, problem = await changed(http, email="new@example.com")
    assert (status, problem["msg"]) == (500, "Error sending email change email")
    await signed_up(http)
    status, problem = await changed(http, email=ACCOUNT["email"])
    assert (status, problem["error_code"]) == (422, "email_exists")


async def test_nobody_gives_himself_app_metadata(http: httpx.AsyncClient) -> None:
    await signed_up(http)
    status, problem = await changed(http, app_metadata={"plan": "gold"})
    assert (status, problem["error_code"]) == (403, "not_admin")


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"email": "a@b.c"}, 400, "validation_failed", "Signup requires a valid password"),
        ({"email": "a@b.c", "password": "short"}, 422, "weak_password", "at least 6 characters"),
        ({"email": "a@b.c", "password": "x" * 73}, 400, "validation_failed", "longer than 72 characters"),
        ({"email": "nobody", "password": "long enough"}, 400, "validation_failed", "invalid format"),
        ({"email": "a@b.c", "phone": "1", "password": "long enough"}, 400, "validation_failed", "Only an email"),
        ({"phone": "1", "password": "long enough"}, 400, "phone_provider_disabled", "Phone signups are disabled"),
        ({"email": 1, "password": "long enough"}, 400, "bad_json", "Could not parse"),
        ({"data": [1]}, 400, "bad_json", "Could not parse"),
    ],
)
async def test_what_cannot_sign_up_is_told_why(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, words: str
) -> None:
    answer = await http.post("/signup", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert words in answer.json()["msg"]


async def test_a_trigger_on_users_runs_with_the_rights_of_production(
    http: httpx.AsyncClient, connection: Connection
) -> None:
    await connection.execute(
        "create table public.seen (who text); create function public.note() returns trigger language plpgsql as"
        " $$ begin insert into public.seen values (current_user); return new; end $$;"
        "create trigger note after insert on auth.users for each row execute function public.note()"
    )
    answer = await http.post("/signup", json={})
    assert (answer.status_code, answer.json()["error_code"]) == (500, "unexpected_failure")

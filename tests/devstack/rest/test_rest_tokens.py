"""Promises of tokens and rights: who is who, and what each may see; as recorded from PostgREST 14.17."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt

from devstack.tokens import ProjectKeys
from tests.devstack.rest.raw import OTHER, USER, Rest


async def _who(rest: Rest, claims: dict[str, Any], secret: str | None = None, algorithm: str = "HS256") -> Any:
    key = None if algorithm == "none" else secret or rest.stack.keys.jwt_secret
    token = jwt.encode(claims, key, algorithm=algorithm)
    return await rest("POST", "/rpc/f_who", {}, role=None, Authorization=f"Bearer {token}")


async def test_a_token_is_refused_in_the_words_of_the_real_server(rest: Rest) -> None:
    now = int(time.time())
    wrong_key = "No suitable key or wrong key type"
    cases = [
        (await _who(rest, {"role": "anon", "exp": now - 40}), "PGRST303", "JWT expired"),
        (await _who(rest, {"role": "anon", "nbf": now + 60}), "PGRST303", "JWT not yet valid"),
        (await _who(rest, {"role": "anon", "iat": now + 60}), "PGRST303", "JWT issued at future"),
        (await _who(rest, {"role": "anon"}, "another secret, long enough to be one"), "PGRST301", wrong_key),
        (await _who(rest, {"role": "anon"}, algorithm="HS384"), "PGRST301", wrong_key),
        (await _who(rest, {"role": "anon"}, algorithm="none"), "PGRST301", "Wrong or unsupported encoding algorithm"),
    ]
    for name in ("exp", "nbf", "iat"):
        answer = await _who(rest, {"role": "anon", name: "soon"})
        cases.append((answer, "PGRST303", f"The JWT '{name}' claim must be a number"))
    for token, text in (
        ("abc", "Expected 3 parts in JWT; got 1"),
        ("a.b.c", "JWT cryptographic operation failed"),
        ("", "Empty JWT is sent in Authorization header"),
    ):
        answer = await rest("GET", "/parents", role=None, Authorization=f"Bearer {token}".strip())
        cases.append((answer, "PGRST301", text))
    for answer, code, message in cases:
        assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (401, code, message)
        challenge = f'Bearer error="invalid_token", error_description="{message}"'
        assert answer.headers["WWW-Authenticate"] == challenge


async def test_a_users_token_is_good_by_the_key_of_sign_in_and_no_other(rest: Rest) -> None:
    claims = {"role": "authenticated", "sub": USER}
    token = rest.stack.keys.mint_for_user(claims, 60)
    answer = await rest("POST", "/rpc/f_who", {}, role=None, Authorization=f"Bearer {token}")
    assert (answer.json()["user"], answer.json()["claims"]["sub"]) == ("authenticated", USER)
    stranger = ProjectKeys.generate().mint_for_user(claims, 60)
    answer = await rest("POST", "/rpc/f_who", {}, role=None, Authorization=f"Bearer {stranger}")
    assert (answer.status_code, answer.json()["code"]) == (401, "PGRST301")


async def test_clocks_may_differ_by_thirty_seconds(rest: Rest) -> None:
    now = int(time.time())
    for claims in ({"exp": now - 10}, {"nbf": now + 10}, {"iat": now + 10}, {}):
        assert (await _who(rest, {"role": "authenticated", **claims})).json()["user"] == "authenticated"


async def test_whoever_does_not_say_who_he_is_is_anon(rest: Rest) -> None:
    assert (await _who(rest, {"sub": USER})).json()["claims"] == {"sub": USER, "role": "anon"}
    for headers in ({}, {"Authorization": "Basic abc"}, {"apikey": rest.stack.keys.anon_key}):
        answer = await rest.client.post("/rpc/f_who", json={}, headers=headers)
        assert answer.json()["user"] == "anon"


async def test_the_project_key_alone_is_enough(rest: Rest) -> None:
    answer = await rest.client.post("/rpc/f_who", json={}, headers={"apikey": rest.stack.keys.service_role_key})
    assert answer.json()["user"] == "service_role"


async def test_a_role_must_exist_and_be_granted(rest: Rest) -> None:
    answer = await _who(rest, {"role": "nobody"})
    assert (answer.status_code, answer.json()["message"]) == (401, 'role "nobody" does not exist')
    assert (await _who(rest, {"role": "postgres"})).status_code == 403
    assert (await _who(rest, {"role": 'x"; reset role; --'})).status_code == 401
    assert (await _who(rest, {"role": 5})).json()["message"] == 'role "5" does not exist'


async def test_an_opaque_key_stands_for_its_role(rest: Rest) -> None:
    for key, role in ((rest.stack.keys.publishable_key, "anon"), (rest.stack.keys.secret_key, "service_role")):
        answer = await rest.client.post("/rpc/f_who", json={}, headers={"apikey": key})
        assert (answer.json()["user"], answer.json()["claims"]["role"]) == (role, role)
        # The official clients send it in both headers.
        both = {"apikey": key, "Authorization": f"Bearer {key}"}
        assert (await rest.client.post("/rpc/f_who", json={}, headers=both)).json()["user"] == role
        user = {"apikey": key, "Authorization": f"Bearer {rest.token('authenticated')}"}
        assert (await rest.client.post("/rpc/f_who", json={}, headers=user)).json()["user"] == "authenticated"


async def test_each_user_sees_and_makes_only_what_is_his(rest: Rest) -> None:
    for owner in (USER, OTHER):
        await rest("POST", "/sessions", {"user_id": owner})
    answer = await rest("GET", "/sessions?select=user_id", role="authenticated")
    assert answer.json() == [{"user_id": USER}]
    answer = await rest("POST", "/sessions", {"user_id": OTHER}, role="authenticated")
    assert answer.status_code == 403
    assert answer.text == json.dumps(
        {
            "code": "42501",
            "details": None,
            "hint": None,
            "message": 'new row violates row-level security policy for table "sessions"',
        },
        separators=(",", ":"),
    )
    answer = await rest("POST", "/sessions", {"user_id": USER}, role="authenticated", Prefer="return=representation")
    assert (answer.status_code, answer.json()[0]["user_id"]) == (201, USER)


async def test_a_missing_right_is_401_for_anon_and_403_for_others(rest: Rest) -> None:
    answer = await rest("GET", "/sessions", role="anon")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json()["message"] == "permission denied for table sessions"
    for method, path in (("GET", "/secret"), ("PATCH", f"/sessions?id=eq.{USER}")):
        answer = await rest(method, path, {"worker": "x"} if method == "PATCH" else None, role="authenticated")
        assert (answer.status_code, answer.json()["code"]) == (403, "42501")


async def test_every_page_may_ask(rest: Rest) -> None:
    asked = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "apikey,authorization,x-client-info",
    }
    answer = await rest.client.options("/sessions", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == "apikey,authorization,x-client-info"
    answer = await rest.client.get("/sessions", headers={"Origin": "http://localhost:3000"})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, "*")
    assert "Content-Range" in answer.headers["Access-Control-Expose-Headers"]

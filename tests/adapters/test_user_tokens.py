"""Whose a user's token is: only the project's own keys tell, and they are asked for seldom."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from devstack.tokens import ProjectKeys, SigningKey
from listener.adapters.user_tokens import ASKED_EVERY_S, KEPT_FOR_S, KNOWN_FOR_S, SigningKeys, UserTokens
from listener.api import User
from listener.errors import StoreUnavailable
from tests.engine.engine_support import HandClock

USER = uuid4()


def claims(**other: Any) -> dict[str, Any]:
    now = int(time.time())
    told = {"sub": str(USER), "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + 600}
    return {name: value for name, value in {**told, **other}.items() if value is not None}


@dataclass
class Auth:
    """What a project's Auth publishes, and how often it was asked."""

    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey()])
    asked: int = 0
    away: bool = False

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        if self.away:
            return web.Response(status=503)
        strange = {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"}
        return web.json_response({"keys": [strange, {"kty": "new"}, *(key.public() for key in self.keys)]})

    def token(self, key: SigningKey | None = None, **other: Any) -> str:
        key = key or self.keys[0]
        return jwt.encode(claims(**other), key.private, "ES256", headers={"kid": key.id})


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def auth() -> Auth:
    return Auth()


@asynccontextmanager
async def reading(auth: Auth, clock: HandClock, secret: str | None = None) -> AsyncIterator[UserTokens]:
    app = web.Application()
    app.add_routes([web.get("/auth/v1/.well-known/jwks.json", auth.answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with httpx.AsyncClient() as http:
            yield UserTokens(SigningKeys(f"http://127.0.0.1:{runner.addresses[0][1]}/", http, clock), secret)
    finally:
        await runner.cleanup()


@pytest.fixture
async def tokens(auth: Auth, clock: HandClock) -> AsyncIterator[UserTokens]:
    async with reading(auth, clock) as opened:
        yield opened


async def test_a_token_that_the_project_signed_is_its_users(tokens: UserTokens, auth: Auth) -> None:
    token = auth.token()
    assert await tokens.user(token) == User(USER, token)
    assert token not in repr(await tokens.user(token))


async def test_every_other_token_is_refused(tokens: UserTokens, auth: Auth) -> None:
    key = auth.keys[0]
    public = key.private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    shared = {"headers": {"kid": "shared"}}
    refused = {
        "of another key under the same id": jwt.encode(
            claims(), SigningKey().private, "ES256", headers={"kid": key.id}
        ),
        "of a key that is not published": auth.token(SigningKey()),
        "without a key id": jwt.encode(claims(), key.private, "ES256"),
        "not signed": jwt.encode(claims(), None, "none", headers={"kid": key.id}),
        "signed with the public key as a secret": jwt.encode(claims(), public, "HS256", headers={"kid": key.id}),
        "signed with a shared secret that is published": jwt.encode(claims(), "secret" * 8, "HS256", **shared),
        "for another audience": auth.token(aud="another"),
        "for no audience": auth.token(aud=None),
        "of another role": auth.token(role="service_role"),
        "of no role": auth.token(role=None),
        "that never ends": auth.token(exp=None),
        "of nobody": auth.token(sub=None),
        "of somebody without an id": auth.token(sub="somebody"),
        "that is not valid yet": auth.token(nbf=int(time.time()) + 600),
        "cut": auth.token()[:-10],
        "no token": "nonsense",
        "no text": "\udcff.\udcff.\udcff",
    }
    for name, token in refused.items():
        assert await tokens.user(token) == "invalid", name
    assert await tokens.user(auth.token(exp=int(time.time()) - 60)) == "expired"
    assert isinstance(await tokens.user(auth.token()), User), "and the good one is still good"


async def test_a_shared_secret_verifies_its_own_tokens_and_makes_no_user_of_a_project_key(
    auth: Auth, clock: HandClock
) -> None:
    project = ProjectKeys.generate()
    signed = project.mint(claims(), 600)
    async with reading(auth, clock, project.jwt_secret) as tokens:
        assert await tokens.user(signed) == User(USER, signed)
        assert isinstance(await tokens.user(auth.token()), User), "a project that changes over has both"
        assert await tokens.user(jwt.encode(claims(), project.jwt_secret[::-1], "HS256")) == "invalid"
        for key in (project.anon_key, project.service_role_key):
            assert await tokens.user(key) == "invalid"
    async with reading(auth, clock) as tokens:
        assert await tokens.user(signed) == "invalid", "without the secret nothing that it signed is believed"


async def test_the_keys_are_asked_for_seldom_and_a_new_one_is_found(
    tokens: UserTokens, auth: Auth, clock: HandClock
) -> None:
    old = auth.keys[0]
    for _ in range(5):
        assert isinstance(await tokens.user(auth.token()), User)
    assert auth.asked == 1
    for _ in range(5):
        assert await tokens.user(auth.token(SigningKey())) == "invalid"
    assert auth.asked == 1, "strangers' key ids do not make us ask on and on"
    auth.keys = [SigningKey()]
    clock.at += ASKED_EVERY_S
    assert isinstance(await tokens.user(auth.token()), User)
    assert auth.asked == 2
    assert await tokens.user(auth.token(old)) == "invalid", "a key that was withdrawn opens nothing"


async def test_known_keys_serve_through_an_outage_and_not_for_ever(
    tokens: UserTokens, auth: Auth, clock: HandClock
) -> None:
    auth.away = True
    with pytest.raises(StoreUnavailable):
        await tokens.user(auth.token())
    auth.away = False
    clock.at += ASKED_EVERY_S
    assert isinstance(await tokens.user(auth.token()), User)
    auth.away = True
    clock.at += KNOWN_FOR_S
    assert isinstance(await tokens.user(auth.token()), User)
    clock.at += KEPT_FOR_S
    with pytest.raises(StoreUnavailable):
        await tokens.user(auth.token())
    auth.away = False
    clock.at += ASKED_EVERY_S
    assert isinstance(await tokens.user(auth.token()), User)

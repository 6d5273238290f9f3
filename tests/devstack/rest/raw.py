"""Raw requests to the REST API, as one role or another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from devstack.stack import Stack

USER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


@dataclass
class Rest:
    """Sends raw requests as a role; the default is service_role."""

    client: httpx.AsyncClient
    stack: Stack

    def token(self, role: str) -> str:
        claims = {"role": role} | ({"sub": USER} if role == "authenticated" else {})
        return self.stack.keys.mint(claims, 3600)

    async def __call__(
        self, method: str, path: str, body: Any = None, *, role: str | None = "service_role", **headers: str
    ) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            sent.setdefault("Authorization", f"Bearer {self.token(role)}")
        content = body if isinstance(body, str | bytes | None) else json.dumps(body)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        return await self.client.request(method, path, content=content, headers=sent)


async def seed(rest: Rest, count: int = 4) -> None:
    """Sessions of the other user with priorities 0, 1, .. and workers w0, w1, .."""
    rows = [{"user_id": OTHER, "priority": number, "worker": f"w{number}"} for number in range(count)]
    assert (await rest("POST", "/sessions", rows)).status_code == 201

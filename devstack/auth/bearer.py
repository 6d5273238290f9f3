"""Finds the token of a request as the gateway of a Supabase project passes it on; does not look into it."""

from __future__ import annotations

from aiohttp import hdrs, web

APIKEY = web.RequestKey("apikey", str)
"""Where the gateway leaves the project key, as the token that it stands for."""
AUTHORIZATION = web.RequestKey("authorization", str)
"""Where the gateway leaves the header that the services see; empty is none."""


def authorization(http: web.Request) -> str | None:
    """The Authorization header; without one, the project key in `apikey` counts as the token."""
    if AUTHORIZATION in http:
        return http[AUTHORIZATION] or None
    given = http.headers.get(hdrs.AUTHORIZATION)
    if given is not None:
        return given
    key = http.headers.get("apikey") or http.query.get("apikey")
    return f"Bearer {key}" if key else None


def project_key(http: web.Request, given: str | None) -> str | None:
    """The project key as a token: what the gateway left, else what was `given`."""
    passed_on: str | None = http.get(APIKEY, given)
    return passed_on

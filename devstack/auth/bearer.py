"""Finds the token of a request as the gateway of a Supabase project does; does not look into it."""

from __future__ import annotations

from aiohttp import hdrs, web


def authorization(http: web.Request) -> str | None:
    """The Authorization header; without one, the project key in `apikey` counts as the token."""
    given = http.headers.get(hdrs.AUTHORIZATION)
    if given is not None:
        return given
    key = http.headers.get("apikey") or http.query.get("apikey")
    return f"Bearer {key}" if key else None

"""The gateway's check of the project key, and the token that the services see in its place.

Knows the four keys of a project; what a role may do is the services' matter.
Source: the routes and the two header rules as in supabase/supabase docker/volumes/api; texts of the 401s as hosted.
"""

from __future__ import annotations

import re

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from devstack.auth.bearer import APIKEY, AUTHORIZATION
from devstack.tokens import ProjectKeys

GUARDED = ("/rest/v1", "/auth/v1", "/realtime/v1")
"""Storage is not among them: signed and public URLs carry no key, and it looks at the token itself."""
OPEN = ("/auth/v1/.well-known/", "/auth/v1/verify", "/auth/v1/callback", "/auth/v1/authorize")
SERVICES = (*GUARDED, "/storage/v1")
BROWSER = re.compile(r"^Mozilla/")

MISSING = {"message": "No API key found in request", "hint": "No `apikey` request header or url param was found."}
INVALID = {"message": "Invalid API key", "hint": "Double check your Supabase `anon` or `service_role` API key."}
IN_BROWSER = {
    "message": "Forbidden use of secret API key in browser",
    "hint": "A secret API key belongs on a server. Use the publishable key here.",
}


def key_check(keys: ProjectKeys) -> Middleware:
    """Refuse requests without a project key; turn `sb_` keys into the tokens that the services understand."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_below(request.path, SERVICES):
            return await handler(request)
        given = request.headers.get("apikey") or request.query.get("apikey")
        token = keys.token_of(given) if given else None
        problem = _problem(request, given, token)
        if problem is not None:
            return web.json_response(problem, status=401)
        if token is not None:
            request[APIKEY] = token
        request[AUTHORIZATION] = _authorization(request, token)
        return await handler(request)

    return check


def _problem(request: web.Request, given: str | None, token: str | None) -> dict[str, str] | None:
    is_guarded = _is_below(request.path, GUARDED) and not request.path.startswith(OPEN)
    if given is None:
        return MISSING if is_guarded else None
    if token is None:
        return INVALID if is_guarded or given.startswith("sb_") else None
    if given.startswith("sb_secret_") and BROWSER.match(request.headers.get(hdrs.USER_AGENT, "")):
        return IN_BROWSER
    bearer = request.headers.get(hdrs.AUTHORIZATION, "").removeprefix("Bearer ")
    return INVALID if bearer.startswith("sb_") and bearer != given else None


def _authorization(request: web.Request, token: str | None) -> str:
    given = request.headers.get(hdrs.AUTHORIZATION)
    is_replaced = given is None or given.startswith("Bearer sb_")
    return f"Bearer {token}" if is_replaced and token is not None else given or ""


def _is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)

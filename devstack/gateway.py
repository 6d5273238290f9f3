"""The one port in front of every service: routes, CORS, the page, and what is answered when nobody is responsible.

The check of the project key is `access`, the faults are `harm`; both are middlewares that `serve` is given.

Knows nothing of what the services do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

import devstack
from devstack.tokens import ProjectKeys

PAGE = Path(devstack.__file__).parent / "page"
VENDOR = PAGE / "node_modules" / "@supabase" / "supabase-js" / "dist" / "umd"
LARGEST_BODY_BYTES = 64 * 1024 * 1024
METHODS = "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD"
EXPOSED = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server,"
    " Transfer-Encoding, Range-Unit, X-Supabase-Api-Version"
)
PREFLIGHT_S = "86400"
SHUTDOWN_S = 1.0


class PageIncompleteError(RuntimeError):
    """The page lacks the official client; `npm ci` in devstack/page fetches it."""


@asynccontextmanager
async def serve(
    routes: Iterable[web.AbstractRouteDef], port: int, middlewares: Iterable[Middleware] = ()
) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 and give the URL; port 0 is any free one."""
    app = web.Application(client_max_size=LARGEST_BODY_BYTES, middlewares=[_cross_origin, *middlewares])
    app.add_routes(routes)
    app.router.add_route(hdrs.METH_ANY, "/{path:(?s:.*)}", _no_route)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def page_routes(keys: ProjectKeys, facts: Mapping[str, object]) -> list[web.AbstractRouteDef]:
    """The page, the official client beside it, and the configuration that names this stack.

    Raises: PageIncompleteError.
    """
    if not VENDOR.is_dir():
        raise PageIncompleteError("run `npm ci` in devstack/page: the page needs the official supabase-js")

    async def config(http: web.Request) -> web.Response:
        return web.json_response({**facts, "url": f"http://{http.host}", "anon_key": keys.anon_key})

    async def index(_http: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / "index.html")

    async def to_page(_http: web.Request) -> web.Response:
        raise web.HTTPFound("/page/")

    return [
        web.get("/", to_page),
        web.get("/page", to_page),
        web.get("/page/", index),
        web.get("/page/config.json", config),
        web.static("/page/vendor", VENDOR),
        web.static("/page", PAGE),
    ]


@web.middleware
async def _cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let any page call: it is a local stack, and the real gateway allows every origin, too."""
    if request.method == hdrs.METH_OPTIONS and not _is_for_rest(request):
        return _preflight(request)
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        error.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        raise
    if hdrs.ORIGIN in request.headers and not answer.prepared:
        answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        answer.headers.setdefault(hdrs.ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)
    return answer


def _is_for_rest(http: web.Request) -> bool:
    """Whether OPTIONS is no browser's question before another request, but one that PostgREST itself answers."""
    return http.path.startswith("/rest/v1/") and hdrs.ACCESS_CONTROL_REQUEST_METHOD not in http.headers


def _preflight(http: web.Request) -> web.Response:
    asked = http.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: asked or "authorization, apikey, content-type",
        hdrs.ACCESS_CONTROL_MAX_AGE: PREFLIGHT_S,
    }
    if hdrs.ACCESS_CONTROL_REQUEST_METHOD not in http.headers:
        headers = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*", hdrs.ALLOW: METHODS}
    return web.Response(headers=headers)


async def _no_route(_http: web.Request) -> web.Response:
    return web.json_response({"message": "no Route matched with those values"}, status=404)

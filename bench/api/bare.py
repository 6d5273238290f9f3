"""The shortest server there is: aiohttp and asyncpg, a row in, the row out. Started with a DSN, it prints its port."""

from __future__ import annotations

import asyncio
import json
import sys
from uuid import uuid4

import asyncpg
from aiohttp import web

CONNECTIONS = 16
TABLE = "create table public.bench_orders (id uuid primary key, body jsonb not null)"


async def serve(database_url: str) -> None:
    """Serve until the process ends."""
    async with asyncpg.create_pool(database_url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        await pool.execute(TABLE)

        async def submit(request: web.Request) -> web.Response:
            row_id = uuid4()
            body = json.dumps(await request.json())
            await pool.execute("insert into public.bench_orders (id, body) values ($1, $2)", row_id, body)
            return web.json_response({"data": {"id": str(row_id)}}, status=201)

        async def read(request: web.Request) -> web.Response:
            row = await pool.fetchrow(
                "select id, body from public.bench_orders where id = $1", request.match_info["id"]
            )
            return web.json_response({"data": {"id": str(row["id"]), "body": json.loads(row["body"])}})

        app = web.Application()
        app.add_routes([web.post("/api/sessions/tryon", submit), web.get("/api/sessions/{id}", read)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))

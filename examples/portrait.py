"""Insert one row, wait for the picture, save it. Needs `pip install supabase` and the two variables of README.md."""

# ruff: noqa: ASYNC240, T201, TID251 - a script of its own, as an app's author would write it

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import httpx
from supabase import AsyncClientOptions, acreate_client

TABLE = "headshot_sessions"
DONE = {"completed", "failed", "cancelled"}


async def main(prompt: str) -> None:
    async with httpx.AsyncClient() as http:
        options = AsyncClientOptions(httpx_client=http)
        supabase = await acreate_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_ANON_KEY"], options)
        signed_in = await supabase.auth.sign_in_anonymously()
        await supabase.realtime.set_auth(signed_in.session.access_token)

        row = (await supabase.table(TABLE).insert({"prompt": prompt}).execute()).data[0]

        # A change only says "look": it may come late, twice or never, so the row is read and a timer is the net.
        changed = asyncio.Event()
        channel = supabase.channel(f"row-{row['id']}")
        channel.on_postgres_changes("*", lambda _: changed.set(), TABLE, "public", f"id=eq.{row['id']}")
        channel.on_system(lambda _: changed.set())
        await channel.subscribe()
        while row["status"] not in DONE:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), timeout=3)
            changed.clear()
            row = (await supabase.table(TABLE).select("*").eq("id", row["id"]).single().execute()).data
            print(row["status"], f"{row['progress']} %", row["message"] or "")
        await supabase.remove_all_channels()

        if row["status"] != "completed":
            sys.exit(f"{row['status']}: {row['error_message']}")
        picture = Path(f"{row['id']}.png")
        picture.write_bytes((await http.get(row["result"]["artifacts"][0]["url"])).content)
        print(f"image: {picture}")
        await supabase.auth.sign_out()


asyncio.run(main(sys.argv[1]))

"""Frontends that watch: the embedded stack on the measured database and sockets that follow their owners' rows.

Runs as a process of its own, so that its work is not taken for the queue's.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from devstack.stack import open_stack
from tests.support.app import TABLE, signed_in


@contextmanager
def watching(dsn: str, count: int) -> Iterator[None]:
    """Have so many frontends watch until the block ends."""
    command = [sys.executable, "-m", "bench.queue.watchers", dsn, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("Popen was asked for both pipes")
        if process.stdout.readline().strip() != "watching":
            raise RuntimeError("the frontends could not watch")
        yield
        process.stdin.close()


async def watch(dsn: str, count: int) -> None:
    """Open the stack, sign in and subscribe; say so; stop when standard input ends."""
    async with open_stack(dsn) as stack, AsyncExitStack() as sockets:
        for _ in range(count):
            client = await signed_in(stack)
            user = (await client.auth.get_user()).user  # type: ignore[union-attr]
            joined = asyncio.Event()
            channel = client.channel("rows").on_postgres_changes(
                "*", schema="public", table=TABLE, filter=f"user_id=eq.{user.id}", callback=lambda _: None
            )
            await channel.subscribe(lambda state, _, told=joined: told.set() if state == "SUBSCRIBED" else None)
            await asyncio.wait_for(joined.wait(), 20)
            sockets.push_async_callback(client.remove_all_channels)
        sys.stdout.write("watching\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1], int(sys.argv[2])))

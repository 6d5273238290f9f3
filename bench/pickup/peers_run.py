"""Other queues as the driver sees them: a script of its own process, which prints its samples as one JSON line.

Knows where peers are installed (with those of `bench queue`); knows nothing of how one of them works.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.queue.contender import FOLDER
from devstack.stack import Stack

SCRIPTS = Path(__file__).parent / "peers"
LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A queue: its name, its script, what must be installed, how it learns of work, and whether by the clock."""

    name: str
    script: str
    needs: str
    how: str
    polls: bool = False

    def is_installed(self) -> bool:
        """Whether what it needs lies in the peers' folder."""
        return any(FOLDER.glob(self.needs))

    def command(self) -> list[str]:
        """The program that runs the script, without its arguments; node finds packages beside a script."""
        if not self.script.endswith(".mjs"):
            return [str(FOLDER / "venv" / "bin" / "python"), str(SCRIPTS / self.script)]
        for script in SCRIPTS.glob("*.mjs"):
            shutil.copy(script, FOLDER / "node" / script.name)
        return ["node", str(FOLDER / "node" / self.script)]


PEERS = (
    Peer("graphile-worker 0.17", "pickup_graphile.mjs", "node/node_modules/graphile-worker", "LISTEN/NOTIFY"),
    Peer("procrastinate 3.10", "pickup_procrastinate.py", "venv/lib/*/site-packages/procrastinate", "LISTEN/NOTIFY"),
    Peer("PgQueuer 1.6", "pickup_pgqueuer.py", "venv/lib/*/site-packages/pgqueuer", "LISTEN/NOTIFY"),
    Peer("Celery 5.7 + Redis 7", "pickup_celery.py", "venv/lib/*/site-packages/celery", "BRPOP"),
    Peer("pg-boss 10.4", "pickup_pgboss.mjs", "node/node_modules/pg-boss", "polls every 0.5 s", polls=True),
    Peer("DBOS 3.4", "pickup_dbos.py", "venv/lib/*/site-packages/dbos", "polls every second (default)", polls=True),
)


async def peer_pickups(peer: Peer, stack: Stack, count: int) -> list[float]:
    """Run a peer's script on a database of its own.

    Raises: RuntimeError with what it said last; TimeoutError.
    """
    admin = await asyncpg.connect(stack.database_url)
    await admin.execute("create database bench_peer template template0")
    await admin.close()
    dsn = f"{stack.database_url.rpartition('/')[0]}/bench_peer"
    process = await asyncio.create_subprocess_exec(
        *peer.command(), dsn, str(count), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            said, complained = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    for line in said.decode().splitlines():
        if line.startswith('{"ms"'):
            samples_ms: list[float] = json.loads(line)["ms"]
            return samples_ms
    raise RuntimeError(complained.decode(errors="replace").strip()[-600:] or "ended without a word")

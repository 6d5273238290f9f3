"""What must hold after every fault, asked of the database and the storage; knows nothing of what happened."""

from __future__ import annotations

import asyncpg
import httpx

from devstack.stack import Stack
from tests.sql.project import Project, connect, expect_invariants

ARTIFACTS = """
select shown.id, shown.status, shown.result, session.attempt
from public.headshot_sessions as shown
inner join listener.sessions as session on session.row_id = shown.id
where shown.status = 'completed'
"""


async def expect_promises(stack: Stack) -> None:
    """Money, states and rows agree, everything has ended, and what is completed has its file."""
    connection = await connect(stack.database_url)
    try:
        await expect_invariants(Project(connection))
        assert await connection.fetch("select id, status from listener.sessions where finished_at is null") == []
        await expect_files(stack, connection)
    finally:
        await connection.close()


async def expect_files(stack: Stack, connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """A completed row names the file of the attempt that settled, and the file is there."""
    async with httpx.AsyncClient(timeout=20) as http:
        for row in await connection.fetch(ARTIFACTS):
            (artifact,) = row["result"]["artifacts"]
            suffix = "" if row["attempt"] == 1 else f".{row['attempt']}"
            assert artifact["path"].endswith(f"{row['id']}{suffix}.png"), artifact
            answer = await http.head(artifact["url"])
            assert answer.status_code == 200, (answer.status_code, artifact)
            assert int(answer.headers["content-length"]) == artifact["size_bytes"]

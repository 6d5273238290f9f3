"""PgQueuer: its own queue manager, draining, in batches."""

import asyncio
import logging

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode
from phases import Drain, arguments

logging.disable(logging.WARNING)


async def main() -> None:
    dsn, count, batch = arguments()
    connection = await asyncpg.connect(dsn)
    driver = AsyncpgDriver(connection)
    queries = Queries(driver)
    if await connection.fetchval("select to_regclass('pgqueuer')") is None:
        await queries.install()
    await queries.enqueue(["nothing"] * count, [b"{}"] * count, [0] * count)
    queue = PgQueuer(driver)

    @queue.entrypoint("nothing")
    async def nothing(job: Job) -> None:
        pass

    drain = Drain()
    await queue.qm.run(batch_size=batch, mode=QueueExecutionMode.drain)
    drain.done(count)
    await connection.close()


asyncio.run(main())

"""PgQueuer: its own queue manager, listening."""

import asyncio
import logging

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pickups import DSN, Pickups

logging.disable(logging.WARNING)
pickups = Pickups()


async def main() -> None:
    driver = AsyncpgDriver(await asyncpg.connect(DSN))
    writer = Queries(AsyncpgDriver(await asyncpg.connect(DSN)))
    await Queries(driver).install()
    queue = PgQueuer(driver)

    @queue.entrypoint("nothing")
    async def nothing(_job: Job) -> None:
        pickups.started()

    loop = asyncio.get_running_loop()
    worker = asyncio.create_task(queue.run())
    await asyncio.sleep(1)

    def enqueue() -> None:
        asyncio.run_coroutine_threadsafe(writer.enqueue("nothing", b"{}"), loop).result()

    await asyncio.to_thread(pickups.measure, enqueue)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


asyncio.run(main())

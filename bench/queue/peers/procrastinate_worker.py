"""procrastinate: its own async worker, as many jobs at once as a batch."""

import asyncio
import logging

import procrastinate
from phases import Drain, arguments

logging.disable(logging.WARNING)


async def main() -> None:
    dsn, count, batch = arguments()
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn))

    @app.task(name="nothing")
    async def nothing() -> None:
        pass

    async with app.open_async():
        if not await app.connector.execute_query_one_async("select to_regclass('procrastinate_jobs') as found") or (
            (await app.connector.execute_query_one_async("select to_regclass('procrastinate_jobs') as found"))["found"]
            is None
        ):
            await app.schema_manager.apply_schema_async()
        await nothing.batch_defer_async(*[{} for _ in range(count)])
        drain = Drain()
        await app.run_worker_async(concurrency=batch, wait=False, install_signal_handlers=False, listen_notify=False)
        drain.done(count)


asyncio.run(main())

"""procrastinate: its own async worker, listening."""

import asyncio
import logging

import procrastinate
from pickups import DSN, Pickups

logging.disable(logging.WARNING)
pickups = Pickups()


async def main() -> None:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DSN))
    writer = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=DSN))

    @app.task(name="nothing")
    async def nothing() -> None:
        pickups.started()

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        with writer.open():
            worker = asyncio.create_task(app.run_worker_async(concurrency=5, install_signal_handlers=False))
            await asyncio.sleep(1)
            await asyncio.to_thread(pickups.measure, writer.configure_task("nothing").defer)
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)


asyncio.run(main())

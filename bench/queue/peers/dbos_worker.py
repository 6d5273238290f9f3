"""DBOS: workflows on a queue, polled as often as it allows; those of the first poll wait for the measured phase."""

import logging
import os
import threading

from dbos import DBOS
from phases import Drain, arguments

logging.disable(logging.WARNING)
dsn, count, batch = arguments()
may_start, finished = threading.Event(), threading.Event()
left = [None] * count
DBOS(config={"name": "bench", "system_database_url": dsn, "run_admin_server": False, "log_level": "ERROR"})


@DBOS.workflow()
def nothing() -> None:
    may_start.wait()
    left.pop()
    if not left:
        finished.set()


DBOS.launch()
DBOS.register_queue("bench", worker_concurrency=batch, polling_interval_sec=0.01)
for _ in range(count):
    DBOS.enqueue_workflow("bench", nothing)
drain = Drain()
may_start.set()
finished.wait()
drain.done(count)
os._exit(0)

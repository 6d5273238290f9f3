"""DBOS: workflows on a queue, polled as it is shipped."""

import logging
import os

from dbos import DBOS
from pickups import DSN, Pickups

logging.disable(logging.WARNING)
pickups = Pickups(1.2)
DBOS(config={"name": "bench", "system_database_url": DSN, "run_admin_server": False, "log_level": "ERROR"})


@DBOS.workflow()
def nothing() -> None:
    pickups.started()


DBOS.launch()
DBOS.register_queue("bench", worker_concurrency=5)
pickups.measure(lambda: DBOS.enqueue_workflow("bench", nothing))
os._exit(0)

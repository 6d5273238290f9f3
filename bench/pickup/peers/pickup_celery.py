"""Celery on Redis: its own worker with a pool of threads, and a Redis that this script starts."""

import logging
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from celery import Celery
from pickups import Pickups

logging.disable(logging.ERROR)
pickups = Pickups()
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
folder = tempfile.mkdtemp()
redis = subprocess.Popen(
    ["redis-server", "--port", str(port), "--dir", folder, "--appendonly", "yes", "--save", ""],
    stdout=subprocess.DEVNULL,
)
app = Celery("bench", broker=f"redis://127.0.0.1:{port}/0", backend=f"redis://127.0.0.1:{port}/1")
app.conf.update(worker_prefetch_multiplier=1, task_acks_late=True, worker_redirect_stdouts=False)


@app.task(name="nothing")
def nothing() -> None:
    pickups.started()


def measure() -> None:
    time.sleep(3)
    try:
        pickups.measure(nothing.delay)
    finally:
        redis.terminate()
        redis.wait()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


for _ in range(200):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            break
    time.sleep(0.02)
threading.Thread(target=measure).start()
app.Worker(pool="threads", concurrency=5, loglevel="ERROR", without_gossip=True, without_mingle=True).start()

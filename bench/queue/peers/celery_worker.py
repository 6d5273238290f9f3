"""Celery on Redis: its own worker with a pool of threads, and a Redis that this script starts."""

import logging
import shutil
import socket
import subprocess
import tempfile
import time

from celery import Celery
from celery.worker import state
from phases import Drain, arguments

_, count, batch = arguments()
logging.disable(logging.ERROR)
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
done: list[None] = []


@app.task(name="nothing")
def nothing() -> None:
    done.append(None)
    if len(done) == count:
        drain.done(count)
        state.should_stop = 0


def until_up() -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("redis-server")


until_up()
for _ in range(count):
    nothing.delay()
try:
    drain = Drain(server_pid=redis.pid)
    app.Worker(pool="threads", concurrency=batch, loglevel="ERROR", without_gossip=True, without_mingle=True).start()
finally:
    redis.terminate()
    redis.wait()
    shutil.rmtree(folder, ignore_errors=True)

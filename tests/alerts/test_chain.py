"""Prometheus and Alertmanager themselves, with our rules and our configuration, before `listener alerts`.

Debian's packages `prometheus` and `prometheus-alertmanager` bring both. Times are shortened, addresses local.
"""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.alerts.cloud_api import cloud_api
from tests.alerts.test_receiver import ONE, Running, environment

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
SHORTER = {
    "interval: 20s": "interval: 1s",
    "for: 1m": "for: 2s",
    "group_wait: 15s": "group_wait: 2s",
    "group_interval: 1m": "group_interval: 5s",
}
WITHIN_S = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not PROMETHEUS or not ALERTMANAGER, reason="Prometheus and Alertmanager are not installed"),
]


class Metrics(http.server.BaseHTTPRequestHandler):
    """A worker as far as Prometheus looks, and the probe of it from outside."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"process_start_time_seconds 1\nprobe_success 1\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def alive(port: int) -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Metrics)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    with http.server.HTTPServer(("127.0.0.1", 0), Metrics) as server:
        return int(server.server_address[1])


def shortened(name: str) -> str:
    text = (DEPLOY / name).read_text()
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


def until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def rules(asked: httpx.Client) -> list[dict[str, Any]]:
    [group] = asked.get("/rules").json()["data"]["groups"]
    return list(group["rules"])


def states(asked: httpx.Client, state: str) -> set[str]:
    return {rule["name"] for rule in rules(asked) if rule["state"] == state}


def is_watching(asked: httpx.Client) -> bool:
    """Whether it knows Alertmanager, sees the worker, and could evaluate every rule."""
    try:
        known = asked.get("/alertmanagers").json()["data"]["activeAlertmanagers"]
        up = asked.get("/query", params={"query": "sum(up)"}).json()["data"]["result"]
    except httpx.ConnectError:
        return False
    is_up = bool(up) and up[0]["value"][1] == "2"
    return bool(known) and is_up and {rule["health"] for rule in rules(asked)} == {"ok"} and not states(asked, "firing")


def test_a_worker_that_is_gone_is_told_alone_and_so_is_its_return(tmp_path: Path) -> None:
    worker, prometheus, alertmanager = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        api = stack.enter_context(cloud_api())
        url = f"http://127.0.0.1:{api.port}/v23.0"
        given = environment(tmp_path, WHATSAPP_API_URL=url, WHATSAPP_TO=ONE)
        command = [sys.executable, "-m", "listener", "alerts", "--port", "0"]
        receiver = Running(subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True), api)
        stack.callback(receiver.end)
        sending = shortened("alertmanager/alertmanager.yml").replace("http://alerts:9094", receiver.url)
        sending = re.sub(r" +timeout: 45s\n", "", sending)  # Debian 12's does not know it yet
        (tmp_path / "sending.yml").write_text(sending.replace("/etc/alertmanager/secret", str(tmp_path / "secret")))
        (tmp_path / "rules.yml").write_text(shortened("prometheus/alerts.yml"))
        (tmp_path / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            f"rule_files: [{tmp_path}/rules.yml]\n"
            f'alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]}}\n'
            "scrape_configs:\n"
            + "".join(
                f'  - {{job_name: {name}, static_configs: [{{targets: ["127.0.0.1:{worker}"]}}]}}\n'
                for name in ("worker", "outside")
            )
        )
        stack.enter_context(
            running(
                str(ALERTMANAGER),
                f"--config.file={tmp_path}/sending.yml",
                f"--storage.path={tmp_path}/alertmanager",
                "--cluster.listen-address=",
                f"--web.listen-address=127.0.0.1:{alertmanager}",
            )
        )
        stack.enter_context(
            running(
                str(PROMETHEUS),
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/prometheus",
                f"--web.listen-address=127.0.0.1:{prometheus}",
            )
        )
        asked = httpx.Client(base_url=f"http://127.0.0.1:{prometheus}/api/v1", timeout=10)
        stack.callback(asked.close)
        with alive(worker):
            until(lambda: is_watching(asked))
            assert not api.posted
        until(lambda: len(states(asked, "firing")) == 2)
        assert states(asked, "firing") == {"worker-down", "api-down"}
        until(lambda: bool(api.posted))
        with alive(worker):
            until(lambda: len(api.posted) == 2)
        assert api.texts(ONE) == [
            ["FIRING critical", "worker-down: No worker answers Prometheus", "docs/operations.md#worker-down"],
            ["RESOLVED", "worker-down: No worker answers Prometheus", "docs/operations.md#worker-down"],
        ], "what follows from it is not told beside it"

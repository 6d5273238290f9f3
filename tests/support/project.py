"""`listener dev --json` as an outside client meets it: a process, one JSON line, and an end by signal."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devstack.worker import SIDES

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 90.0
ENDED_WITHIN_S = 40.0


@dataclass(frozen=True)
class Project:
    """A running stack with a worker and the page, and the process behind it."""

    url: str
    anon_key: str
    service_role_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    db_url: str = field(repr=False)
    page_url: str
    api_url: str | None
    process: subprocess.Popen[bytes] = field(repr=False)
    state_home: Path = field(repr=False)


def dev_environment(state_home: Path, **settings: str) -> dict[str, str]:
    """The environment of `listener dev` and `listener submit` with a state folder of the test's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LISTENER_", "SUPABASE_"))}
    small = {**dict.fromkeys(SIDES, "128"), "LISTENER_DEVICE": "cpu"}
    return kept | small | {"XDG_STATE_HOME": str(state_home)} | settings


@contextmanager
def running_dev(folder: Path, *arguments: str, **settings: str) -> Iterator[Project]:
    """Start `listener dev --json`, wait for its line, end it by SIGTERM."""
    log = folder / "dev.log"
    state_home = folder / "state"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "listener", "dev", "--json", "--verbose", *arguments],
            cwd=ROOT,
            env=dev_environment(state_home, **settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    try:
        yield Project(**_first_line(process, log), process=process, state_home=state_home)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(ENDED_WITHIN_S)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _first_line(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    stdout = process.stdout.fileno()
    deadline = time.monotonic() + READY_WITHIN_S
    read = b""
    while b"\n" not in read:
        ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(stdout, 65_536) if ready else b""
        assert chunk, f"`listener dev` did not get ready: {log.read_text()[-4000:]}"
        read += chunk
    line: dict[str, Any] = json.loads(read)
    return line

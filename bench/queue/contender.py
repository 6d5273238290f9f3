"""A contender as the driver sees it: a script of its own process, filled, then drained.

Knows the two phases; knows nothing of what is drained.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.queue.server import DurableServer, cpu_s

PEERS = Path(__file__).parent / "peers"
FOLDER = Path(__file__).parents[2] / ".make" / "peers"
PHASE_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Contender:
    """A queue: its name, its script, and its share of the asked jobs, so that slow ones take no longer."""

    name: str
    script: str
    share: float = 1.0
    project: bool = False
    needs: str = ""
    options: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """The program that runs the script, without its arguments."""
        if self.script.endswith(".mjs"):
            return ["node", str(FOLDER / "node" / self.script)]
        python = sys.executable if self.project else str(FOLDER / "venv" / "bin" / "python")
        return [python, str(PEERS / self.script)]

    def is_installed(self) -> bool:
        """Whether what it needs lies in the peers' folder."""
        return self.project or any(FOLDER.glob(self.needs))


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain took.  Units: CPU milliseconds a job, client and server."""

    jobs_per_s: float
    cpu_ms: float


def drain(contender: Contender, server: DurableServer, database: str, count: int, batch: int) -> Drained:
    """Fill and drain once.

    Raises: RuntimeError with what the script said last.
    """
    count = max(batch, int(count * contender.share) // batch * batch)
    command = [*contender.command(), server.dsn(database), str(count), str(batch), *contender.options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        ready = answer(process)
        pids = [server.pid, *([ready["server_pid"]] if "server_pid" in ready else [])]
        before_s = sum(cpu_s(pid) for pid in pids)
        if process.stdin is None:
            raise AssertionError("Popen was asked for the pipe")
        process.stdin.write("go\n")
        process.stdin.flush()
        done = answer(process)
        spent_s = sum(cpu_s(pid) for pid in pids) - before_s + done["cpu_s"]
        process.communicate(timeout=PHASE_LIMIT_S)
    return Drained(done["count"] / done["seconds"], 1000 * spent_s / done["count"])


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line of facts; what libraries print is passed over."""
    for line in process.stdout or ():
        if line.startswith("{"):
            facts: dict[str, Any] = json.loads(line)
            return facts
    said = process.stderr.read() if process.stderr is not None else ""
    raise RuntimeError(said.strip()[-600:] or "ended without a word")

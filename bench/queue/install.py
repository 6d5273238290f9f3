"""Installs the peers into a folder of their own, never into the project's environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from bench.queue.contender import FOLDER, PEERS

HERE = Path(__file__).parent


def install_peers() -> None:
    """Python peers into a venv, one by one so that one that fails names itself; Node peers by npm."""
    python = FOLDER / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER / "venv", with_pip=True)
    for line in (HERE / "peers.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            run([str(python), "-m", "pip", "install", "--quiet", line], line)
    place_node_scripts()
    if shutil.which("npm") is None:
        sys.stderr.write("npm is missing: no Node peers\n")
        return
    run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(FOLDER / "node")], "Node peers")


def place_node_scripts() -> None:
    """Node finds packages beside a script, so the scripts lie beside them."""
    node = FOLDER / "node"
    node.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", node / "package.json")
    for script in PEERS.glob("*.mjs"):
        shutil.copy(script, node / script.name)


def run(command: list[str], name: str) -> None:
    """Run a program; a failure is told and the next goes on."""
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        sys.stderr.write(f"not installed: {name}\n")

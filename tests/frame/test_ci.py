"""What CI runs exists: scripts that a shell can read, targets that make knows, a workflow that calls them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / ".ci").iterdir())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_of_ci_can_be_run_and_calls_what_make_knows(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    called = re.findall(r"^\s*make ([a-z0-9-]+)(?=\s|$)", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert called
    assert set(called) <= TARGETS


def test_ci_counts_what_its_tests_reach_and_asks_the_gates_last() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    made = [line.split()[1:] for line in lines if line.strip().startswith("make ")]
    counted = [words[0] for words in made if "COUNTED=1" in words]
    assert (counted, made[-1]) == (["test", "test-15"], ["coverage"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_scripts_that_exist_and_may_only_read(workflow: Path) -> None:
    told: dict[str, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert told["permissions"] == {"contents": "read"}
    stepping = [job for job in told["jobs"].values() if "uses" not in job]
    runs = [step["run"] for job in stepping for step in job["steps"] if "run" in step]
    assert runs
    assert all((ROOT / run).is_file() and os.access(ROOT / run, os.X_OK) for run in runs)
    assert all("timeout-minutes" in job for job in stepping)
    # Only what pushes images may write more than nothing, and packages alone.
    more = {name: job["permissions"] for name, job in told["jobs"].items() if "permissions" in job}
    assert more in ({}, {"images": {"contents": "read", "packages": "write"}})


def test_supabase_start_lets_in_whom_the_tests_sign_in() -> None:
    config = (ROOT / "supabase" / "config.toml").read_text(encoding="utf-8")
    assert "enable_anonymous_sign_ins = true" in config
    assert "enable_confirmations = false" in config

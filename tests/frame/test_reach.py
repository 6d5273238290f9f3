"""The gates of coverage can fail: what was never executed is named, with its file and line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reach.__main__ import GATES, SQL_PERCENT
from tests.reach.sql import declared, reached

ROOT = Path(__file__).parents[2]
ENGINE = "def sign(x):\n    if x > 0:\n        return 1\n    return 0\n"


def profiled(folder: Path, **changes: Any) -> Path:
    """A profile in which everything of listener.clock() ran, and nothing else."""
    rows = [
        {"id": 0, "parent": None, "branch": None, "line": 2, "name": "statement block", "times": 4},
        {"id": 1, "parent": 0, "branch": "body", "line": 3, "name": "IF", "times": 4},
        {"id": 2, "parent": 1, "branch": "then body", "line": 4, "name": "RETURN", "times": 3},
        {"id": 3, "parent": 1, "branch": "elsif 1", "line": 6, "name": "RETURN", "times": 1},
        {"id": 4, "parent": 0, "branch": "body", "line": 8, "name": "RETURN", "times": 1},
    ]
    for row in rows:
        row["times"] = changes.get(f"times_{row['id']}", row["times"])
    told = {"functions": {"listener.clock()": {str(row["id"]): row for row in rows}}, "called": ["clock"]}
    (folder / "1.json").write_text(json.dumps(told))
    return folder


def missed_of_the_clock(folder: Path) -> list[str]:
    return [place for place in reached(folder).missed if place.startswith("sql/functions/clock.sql")]


def test_every_declared_function_counts(tmp_path: Path) -> None:
    others = {function.path.name for function in declared()} - {"clock.sql"}
    missed = {place.split(":")[0].split("/")[-1] for place in reached(profiled(tmp_path)).missed}
    assert missed - {"clock.sql"} == others


def test_a_statement_that_did_not_run_is_named_by_its_line(tmp_path: Path) -> None:
    [missed] = missed_of_the_clock(profiled(tmp_path, times_3=0, times_2=3))
    source = (Path(__file__).parents[2] / "sql" / "functions" / "clock.sql").read_text().splitlines()
    line = int(missed.split(":")[1].split()[0])
    assert source[line - 1].strip().startswith("return current_setting('listener.fake_now'")


def test_an_if_that_was_always_true_is_a_branch_not_taken(tmp_path: Path) -> None:
    assert missed_of_the_clock(profiled(tmp_path)) == ["sql/functions/clock.sql:10 never false"]
    assert missed_of_the_clock(profiled(tmp_path, times_2=2)) == []


def test_what_several_processes_saw_is_added_up(tmp_path: Path) -> None:
    profiled(tmp_path, times_3=0)
    (tmp_path / "2.json").write_text((tmp_path / "1.json").read_text())
    profiled(tmp_path, times_2=2)
    assert missed_of_the_clock(tmp_path) == []


def test_no_profile_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing was profiled"):
        reached(tmp_path)


def gates_of(folder: Path, calls: str) -> subprocess.CompletedProcess[str]:
    """What the gates say of a project with one file of the engine, after these calls; a killed process left a wreck."""
    (folder / "listener" / "engine").mkdir(parents=True)
    for package in ("listener", "listener/engine"):
        (folder / package / "__init__.py").touch()
    (folder / "listener" / "engine" / "sign.py").write_text(ENGINE)
    (folder / "run.py").write_text(f"from listener.engine.sign import sign\n{calls}\n")
    (folder / ".coveragerc").write_text("[run]\nbranch = true\nparallel = true\nsource = listener\n")
    (folder / ".coverage.killed").write_bytes(b"SQLite format 3")
    coverage = [sys.executable, "-m", "coverage"]
    environment = {"PYTHONPATH": str(folder), "PATH": ""}
    subprocess.run([*coverage, "run", "run.py"], cwd=folder, env=environment, check=True)
    subprocess.run(
        [*coverage, "combine", "--quiet"], cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL
    )
    gates = [sys.executable, "-m", "tests.reach", "--python", ".coverage"]
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(gates, cwd=folder, env=environment, check=False, capture_output=True, text=True)


def test_the_engine_must_be_reached_whole_and_what_is_missing_is_named(tmp_path: Path) -> None:
    told = gates_of(tmp_path, "sign(1)")
    assert told.returncode == 1
    assert "FAILED  the engine" in told.stdout
    assert "listener/engine/sign.py:4\n" in told.stdout
    assert "listener/engine/sign.py:2 never to 4\n" in told.stdout


def test_an_engine_that_is_reached_whole_passes_its_gate(tmp_path: Path) -> None:
    told = gates_of(tmp_path, "sign(1), sign(0)")
    assert "passed  the engine" in told.stdout
    assert "passed  all of it" in told.stdout
    assert "FAILED  the routes" in told.stdout, "nothing at all is not enough"


def test_the_gates_are_those_that_were_asked_for() -> None:
    assert {gate.name: gate.percent for gate in GATES} == {"all of it": 80, "the engine": 100, "the routes": 90}
    assert SQL_PERCENT == 100

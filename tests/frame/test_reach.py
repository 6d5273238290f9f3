"""The gates of coverage can fail: what was never executed is named, with its file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.reach.sql import declared, reached


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

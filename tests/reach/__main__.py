"""The gates of coverage: what a run left behind, part by part, and whether it is enough. Exit status 1 where it is not.

python -m tests.reach --python .coverage --sql FOLDER
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coverage import Coverage

from tests.reach.sql import reached

MISSED_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Gate:
    """A part of the project, by the beginning of its files' paths, and the share of it that tests must reach."""

    name: str
    prefixes: tuple[str, ...]
    percent: float


GATES = (
    Gate("all of it", ("listener/", "handlers/", "devstack/"), 80),
    Gate("the engine", ("listener/engine/",), 100),
    Gate("the routes", ("listener/http/",), 90),
)
SQL_PERCENT = 100.0


def main() -> int:
    """Print a line for each gate, and what is missing where one is not passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.reach")
    parser.add_argument("--python", type=Path, help="what coverage.py combined")
    parser.add_argument("--sql", type=Path, help="the folder of tests.reach.profile")
    given = parser.parse_args()
    passed = [_python(given.python)] if given.python else []
    passed += [_sql(given.sql)] if given.sql else []
    return 0 if passed and all(passed) else 1


def _python(data: Path) -> bool:
    files = _files_of(data)
    return all([_gate(gate, files) for gate in GATES])


def _files_of(data: Path) -> dict[str, Any]:
    measured = Coverage(data_file=str(data))
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        measured.json_report(outfile=str(report))
        files: dict[str, Any] = json.loads(report.read_text())["files"]
    return files


def _gate(gate: Gate, files: dict[str, Any]) -> bool:
    """Lines and branches count alike."""
    reached_count = count = 0
    missed = []
    for path, told in sorted(files.items()):
        if path.startswith(gate.prefixes):
            summary = told["summary"]
            reached_count += summary["covered_lines"] + summary["covered_branches"]
            count += summary["num_statements"] + summary["num_branches"]
            missed += [f"{path}:{line}" for line in told["missing_lines"]]
            missed += [f"{path}:{start} never to {end}" for start, end in told["missing_branches"]]
    return _say(gate.name, 100 * reached_count / max(count, 1), gate.percent, missed)


def _sql(folder: Path) -> bool:
    told = reached(folder)
    return _say("the SQL's functions", 100 * told.share, SQL_PERCENT, told.missed)


def _say(name: str, percent: float, wanted: float, missed: list[str]) -> bool:
    passed = percent >= wanted
    out = io.StringIO()
    out.write(
        f"{'passed' if passed else 'FAILED':8}{name:22}{percent:6.1f} % of lines and branches, {wanted:g} % wanted\n"
    )
    if not passed:
        out.writelines(f"    {place}\n" for place in missed[:MISSED_SHOWN])
        out.write(f"    and {len(missed) - MISSED_SHOWN} more\n" if len(missed) > MISSED_SHOWN else "")
    sys.stdout.write(out.getvalue())
    return passed


if __name__ == "__main__":
    sys.exit(main())

"""How much of the SQL's functions the tests execute: every statement, and every way past an `if`.

Reads what tests.reach.profile wrote. A function in the language SQL counts as one statement, executed when called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "sql" / "functions"
NAME = re.compile(r"^create function (?:(\w+)\.)?(\w+)\(", re.MULTILINE)
BODY = re.compile(r"^as \$", re.MULTILINE)
BRANCHING = "IF"
UNREACHABLE = "-- not reached"
"""A statement that the language asks for, after a call that always raises."""


@dataclass(frozen=True, slots=True)
class Function:
    """A declared function. Units: body_line is the line of its file where the body begins."""

    schema: str
    name: str
    is_plpgsql: bool
    path: Path
    body_line: int


@dataclass
class Reached:
    """How many branches there are, how many were taken, and where the others are."""

    branches: int = 0
    missed: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """0 to 1."""
        return 1 - len(self.missed) / self.branches if self.branches else 0.0

    def count(self, place: str, *, is_reached: bool) -> None:
        """Count one branch."""
        self.branches += 1
        if not is_reached:
            self.missed.append(place)


def declared() -> Iterator[Function]:
    """Every function of sql/functions."""
    for path in sorted(FUNCTIONS.glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        found, body = NAME.search(text), BODY.search(text)
        if found is None or body is None:
            raise ValueError(f"{path.name} declares no function")
        line = text.count("\n", 0, body.start()) + 1
        yield Function(found[1] or "public", found[2], "language plpgsql" in text, path, line)


def reached(folder: Path) -> Reached:
    """Add up the files of all processes. Raises: ValueError when there are none."""
    statements, called = _added_up(folder)
    told = Reached()
    for function in declared():
        where = function.path.relative_to(ROOT).as_posix()
        if not function.is_plpgsql:
            told.count(f"{where}: never called", is_reached=function.name in called)
            continue
        own = statements.get((function.schema, function.name))
        if own is None:
            told.count(f"{where}: never called", is_reached=False)
            continue
        lines = function.path.read_text(encoding="utf-8").splitlines()
        for statement in own.values():
            if UNREACHABLE in lines[function.body_line + statement["line"] - 2]:
                continue
            place = f"{where}:{function.body_line + statement['line'] - 1}"
            told.count(f"{place} {statement['name']}", is_reached=statement["times"] > 0)
            if statement["name"] == BRANCHING and not _has_else(own, statement):
                told.count(f"{place} never false", is_reached=statement["times"] > _taken(own, statement))
    return told


def _added_up(folder: Path) -> tuple[dict[tuple[str, str], dict[str, dict[str, Any]]], set[str]]:
    functions: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    called: set[str] = set()
    files = sorted(folder.glob("*.json"))
    if not files:
        raise ValueError(f"nothing was profiled into {folder}")
    for file in files:
        told = json.loads(file.read_text())
        called |= set(told["called"])
        for signature, statements in told["functions"].items():
            schema, _, name = signature.partition("(")[0].rpartition(".")
            own = functions.setdefault((schema or "public", name), {})
            for key, statement in statements.items():
                known = own.setdefault(key, {**statement, "times": 0})
                known["times"] += statement["times"]
    return functions, called


def _branches_of(own: dict[str, dict[str, Any]], statement: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The first statement of each body of an `if`."""
    first: dict[str, dict[str, Any]] = {}
    for each in own.values():
        if each["parent"] == statement["id"] and each["branch"]:
            kept = first.setdefault(each["branch"], each)
            if each["line"] < kept["line"]:
                first[each["branch"]] = each
    return first


def _has_else(own: dict[str, dict[str, Any]], statement: dict[str, Any]) -> bool:
    return any("else" in branch and "elsif" not in branch for branch in _branches_of(own, statement))


def _taken(own: dict[str, dict[str, Any]], statement: dict[str, Any]) -> int:
    return sum(each["times"] for each in _branches_of(own, statement).values())

"""docs/requirements.md is kept true: each demand once, each proof a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COUNTS = {"C": 9, "H": 15, "W": 17, "P": 11, "A": 12}
ROW = re.compile(r"^\| ([A-Z]\d+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "requirements.md").read_text(encoding="utf-8"))
PROVEN = [(name, node) for name, _, proof in ROWS for node in re.findall(r"`([^`]+::[^`]+)`", proof)]


def function_names_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_every_demand_stands_here_once() -> None:
    assert [name for name, _, _ in ROWS] == [
        f"{letter}{n}" for letter, most in COUNTS.items() for n in range(1, most + 1)
    ]


def test_a_demand_is_open_or_names_its_proof() -> None:
    unclear = [name for name, _, proof in ROWS if "::" not in proof and not proof.startswith("open")]
    assert not unclear


@pytest.mark.parametrize(("demand", "node"), PROVEN)
def test_the_named_proof_exists(demand: str, node: str) -> None:
    file, _, test = node.partition("::")
    path = ROOT / file
    assert path.is_file(), f"{demand} names a file that does not exist"
    assert test in function_names_of(path), f"{demand} names a test that does not exist"

"""The seeded defects fit the project as it is: each is found where it is put, and its tests are there."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from tests.mutants.__main__ import CASES, ROOT, SQL, replaced
from tests.mutants.mutant import Mutant


@pytest.mark.parametrize("mutant", CASES, ids=lambda mutant: mutant.name)
def test_a_seeded_defect_applies(mutant: Mutant) -> None:
    path = (ROOT if mutant.file.endswith(".py") else SQL) / mutant.file
    text = path.read_text(encoding="utf-8")
    assert replaced(mutant, text) != text
    assert [file for file in mutant.tests if not Path(ROOT / file.partition("::")[0]).exists()] == []


def test_no_two_defects_share_a_name() -> None:
    assert [name for name, count in Counter(mutant.name for mutant in CASES).items() if count > 1] == []


def test_every_defect_that_is_written_down_is_run() -> None:
    names = [path.stem for path in (ROOT / "tests" / "mutants").glob("*cases.py")]
    words = [word for name in names for word in vars(import_module(f"tests.mutants.{name}")).values()]
    written = {mutant.name for group in words if isinstance(group, tuple) for mutant in group}
    assert written == {mutant.name for mutant in CASES}

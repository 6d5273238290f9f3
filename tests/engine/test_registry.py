"""A handler of somebody's own that is not one: the worker does not start and says what is wrong with it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from listener.errors import ConfigError
from listener.registry import load_handlers

NUMBERS = count(1)
GOOD = """
from pydantic import BaseModel

class Params(BaseModel):
    place: str

class Own:
    kind = "own"
    Params = Params

    async def run(self, session, params, context):
        return None
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str = "Own", kind: str = "own") -> str:
    """Put a package with this module where pip would; answer the module's name."""
    module = f"own_{next(NUMBERS)}"
    (folder / f"{module}.py").write_text(text)
    facts = folder / f"{module}-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(f"[listener.handlers]\n{kind} = {module}:{name}\n")
    monkeypatch.syspath_prepend(str(folder))
    return module


def test_a_handler_of_somebodys_own_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = install(tmp_path, monkeypatch, GOOD)
    assert type(load_handlers(["own"])["own"]).__module__ == module


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("kind = ", "sort = ", "is no handler: `kind` must be the name of its kind$"),
        ('kind = "own"', 'kind = "owm"', "says that it serves 'owm'"),
        ("Params = Params", "Params = {'place': str}", "is no handler: `Params` must be a pydantic model, the class"),
        ("async def", "def", r"is no handler: `run` must be `async def run\(self, session, params, context\)`"),
        (", context)", ")", "is no handler: `run` must be"),
        ("def run", "def generate", "is no handler: `run` must be"),
        ("    kind =", "    __init__ = lambda self, model: None\n    kind =", "cannot be built: TypeError: .*'model'"),
        (
            "    kind =",
            "    def __init__(self):\n        self.x = 1 / 0\n    kind =",
            r"division by zero \(own_\d+.py",
        ),
        ("class Own", "1 / 0\nclass Own", r"cannot be imported: ZeroDivisionError: .* \(own_\d+.py, line 7\)"),
        ("class Own:", "class Own", r"cannot be imported: SyntaxError: .*own_\d+.py, line 7\)$"),
        ("class Own", "class Onw", "cannot be imported: module 'own_.*' has no attribute 'Own'"),
        ("from pydantic", "from pydantik", "cannot be imported: No module named 'pydantik'"),
    ],
)
def test_what_is_wrong_with_a_handler_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str, words: str
) -> None:
    assert right in GOOD
    install(tmp_path, monkeypatch, GOOD.replace(right, wrong, 1))
    with pytest.raises(ConfigError, match=rf"^(own_\d+:Own|the handler installed as 'own') .*{words}"):
        load_handlers(["own"])


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "class Own: ...")
    with pytest.raises(ConfigError, match=r"`kind` must .*; `Params` must .*; `run` must "):
        load_handlers(["own"])

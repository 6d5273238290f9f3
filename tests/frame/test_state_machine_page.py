"""docs/state-machine.md names every function that moves a session, every invariant, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "state-machine.md").read_text(encoding="utf-8")
FUNCTIONS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "sql" / "functions").glob("*.sql")}
INVARIANTS = (ROOT / "sql" / "views" / "invariants.sql").read_text(encoding="utf-8")
WRITES = re.compile(r"insert into listener\.sessions|update listener\.sessions[^;]*?\bset\b[^;]*?\bstatus =", re.DOTALL)
ARROW = re.compile(r"^  (\S+) --> (\S+): (.+)$", re.MULTILINE)


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


def test_every_function_that_writes_a_status_is_on_the_page() -> None:
    writing = {name for name, text in FUNCTIONS.items() if WRITES.search(without_comments(text))}
    assert len(writing) > 10, "the search saw nothing"
    assert writing - set(re.findall(r"`(\w+)`", PAGE)) == set()


def test_every_arrow_names_functions_that_write_a_status() -> None:
    arrows = ARROW.findall(PAGE)
    named = {name for _, _, names in arrows for name in names.split(", ")}
    assert len(arrows) > 10
    assert {name for name in named if not WRITES.search(without_comments(FUNCTIONS.get(name, "")))} == set()


def test_no_arrow_leaves_a_terminal_state_but_to_the_end() -> None:
    assert not [arrow for arrow in ARROW.findall(PAGE) if arrow[0] in ("completed", "failed", "cancelled")]


def test_the_page_has_the_view_s_invariants_and_no_other() -> None:
    declared = set(re.findall(r"'(\w+)' as invariant", INVARIANTS))
    section = PAGE.partition("| invariant | means |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == declared

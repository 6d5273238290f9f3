"""docs/errors.md tells the taxonomy and the table as they are, and SQL writes the taxonomy's own words."""

from __future__ import annotations

import re
from pathlib import Path

from listener import errors
from listener.engine.verdict import RULES, Rule

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
SHOWN = {Rule.FAIL: "–", Rule.RETRY: "yes", Rule.RETRY_ONCE: "once", Rule.CANCEL: "–"}
WRITTEN = [*(kind for kind in RULES if issubclass(kind, errors.AttemptFailure)), errors.Cancelled]


def test_every_code_that_a_row_can_carry_stands_on_the_page_with_its_words() -> None:
    told = set(re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \| (.+) \|$", PAGE, re.MULTILINE))
    assert told == {
        (kind.code, SHOWN[RULES[kind].patient], SHOWN[RULES[kind].strict], kind.public_message)
        for kind in WRITTEN
        if kind is not errors.AttemptFailure
    }


def test_no_two_classes_share_a_code() -> None:
    codes = [kind.code for kind in RULES]
    assert len(codes) == len(set(codes))


def test_the_codes_that_sql_writes_are_the_taxonomys_with_its_words() -> None:
    words = {kind.code: kind.public_message for kind in RULES}
    written = {}
    for path in sorted((ROOT / "sql" / "functions").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        written |= dict(re.findall(r"error_code = '(\w+)', error_message = '([^']+)'", text))
        written |= dict(re.findall(r"fail_here\(\w+, '(\w+)', '([^']+)'\)", text))
    del written["row_missing"]  # the row itself is gone, so nobody reads it
    assert set(written) == {"worker_lost", "time_limit"}
    assert {code: words[code] for code in written} == written

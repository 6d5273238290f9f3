"""What the docs name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOP = "listener|handlers|devstack|sql|supabase|tests|bench|docs|deploy|examples"
NAMED = [
    (page, name)
    for page in PAGES
    for name in sorted(set(re.findall(rf"[`(]((?:{TOP})/[\w./-]+)[`)]", page.read_text(encoding="utf-8"))))
]
LINKED = [
    (page, target)
    for page in PAGES
    for target in sorted(set(re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8"))))
]


@pytest.mark.parametrize(("page", "name"), NAMED)
def test_a_path_in_the_docs_exists(page: Path, name: str) -> None:
    assert (ROOT / name).exists(), f"{page.name} names {name}"


@pytest.mark.parametrize(("page", "target"), LINKED)
def test_a_link_in_the_docs_leads_somewhere(page: Path, target: str) -> None:
    assert (page.parent / target).exists(), f"{page.name} links to {target}"

"""What the docs name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
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
ANCHORED = [
    (page, target, anchor)
    for page in PAGES
    for target, anchor in sorted(set(re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))))
]


def anchors_of(page: Path) -> set[str]:
    """Where a link into a page may lead: its headings as GitHub spells them, and its own marks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    spelled = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return spelled | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize(("page", "name"), NAMED)
def test_a_path_in_the_docs_exists(page: Path, name: str) -> None:
    assert (ROOT / name).exists(), f"{page.name} names {name}"


@pytest.mark.parametrize(("page", "target"), LINKED)
def test_a_link_in_the_docs_leads_somewhere(page: Path, target: str) -> None:
    assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(("page", "target", "anchor"), ANCHORED)
def test_a_link_into_a_page_leads_to_a_heading_of_it(page: Path, target: str, anchor: str) -> None:
    there = page.parent / target if target else page
    assert anchor in anchors_of(there), f"{page.name} links to {target}#{anchor}"


def test_every_refusal_of_the_database_is_in_the_handbook_with_its_code() -> None:
    functions = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sql" / "functions").glob("*.sql"))
    raised = re.findall(
        r"(?:errcode = |raise sqlstate |raise exception |message = |'code', )'([A-Z0-9]{5}|[a-z_]+)'", functions
    )
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    caught_again = {"held_no_longer", "SL000", "ZZ000"}
    assert len(raised) > 30, "the search saw nothing"
    assert [word for word in sorted(set(raised) - caught_again) if f"`{word}`" not in page] == []

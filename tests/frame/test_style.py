"""The rules of writing that a machine can check, so that nobody has to remember them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("listener", "handlers", "devstack")
MOST_LINES_PER_FILE = 250
MOST_LINES_PER_FUNCTION = 50
MOST_LINES_PER_SQL_FUNCTION = 60
BANNED_NAMES = re.compile(r"(^|_)(utils?|helpers?|manager|common|base|misc)($|_)|(Utils?|Helpers?|Manager)$")

PYTHON = [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py")) if "node_modules" not in p.parts]
SQL_FUNCTIONS = sorted((ROOT / "sql" / "functions").glob("*.sql"))
SQL_OBJECTS = sorted((ROOT / "sql").rglob("*.sql"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return (node for node in ast.walk(tree) if isinstance(node, kinds))


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


def test_the_style_test_finds_code_to_read() -> None:
    assert len(PYTHON) > 20
    assert len(SQL_FUNCTIONS) > 10


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_a_python_file_fits_in_a_head(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES_PER_FILE
    tree = ast.parse(text)
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in definitions(tree)
        if not isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES_PER_FUNCTION
    ]
    assert not long


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_a_module_says_what_it_knows(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "a module docstring is missing"


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_names_say_what_a_thing_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [path.stem, *(node.name for node in definitions(tree))]
    assert not [name for name in names if BANNED_NAMES.search(name)]


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_a_public_function_or_class_has_a_docstring_of_one_fact(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [
        node
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]
    assert not [node.name for node in public if not ast.get_docstring(node)]


@pytest.mark.parametrize("path", SQL_FUNCTIONS, ids=relative)
def test_a_sql_function_stands_alone_and_is_closed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    code = without_comments(text)
    created = re.findall(r"^create (?:or replace )?function\s+(\w+)\.(\w+)", code, re.MULTILINE)  # not what it writes
    assert [name for _, name in created] == [path.stem], "one function per file, named as the file"
    assert text.startswith("-- "), "the header comment is missing"
    assert "set search_path = ''" in code
    assert re.search(rf"revoke (all|execute) on function \w+\.{path.stem}", code), "its own revoke is missing"
    assert len(text.splitlines()) <= MOST_LINES_PER_SQL_FUNCTION + 30
    body = re.search(r"\$(\w*)\$(.*?)\$\1\$", code, re.DOTALL)
    assert body is not None
    assert len(body.group(2).strip().splitlines()) <= MOST_LINES_PER_SQL_FUNCTION


@pytest.mark.parametrize("path", SQL_OBJECTS, ids=relative)
def test_sql_is_lower_case_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("-- ")
    code = re.sub(r"'[^']*'", "''", without_comments(text))
    shouted = re.findall(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|GRANT|REVOKE|FROM|WHERE|BEGIN|END|RETURNS)\b", code)
    assert not shouted


def test_supabase_holds_no_python_because_it_would_hide_the_client_package() -> None:
    assert not list((ROOT / "supabase").rglob("*.py"))
    modules = {path.stem for path in PYTHON}
    assert not modules & {"realtime", "storage", "supabase"}


# In two halves each, so that this file does not name them.
@pytest.mark.parametrize(
    ("first", "second"), [("registry.", "npmjs"), ("python", "hosted"), ("pypi", ".org"), ("deb.", "debian")]
)
def test_no_registry_host_is_named(first: str, second: str) -> None:
    suffixes = {".py", ".sql", ".json", ".toml", ".md", ".yml", ".yaml", ".js", ".mjs", ".html", ".npmrc", ""}
    skipped = {".git", ".make", "node_modules", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
    named = [
        relative(path)
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix in suffixes
        and not any(part in skipped or part.startswith(".venv") for part in path.relative_to(ROOT).parts)
        and first + second in path.read_text(encoding="utf-8", errors="ignore")
    ]
    assert not named

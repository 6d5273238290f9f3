"""`pytest --real` says what it needs, what it leaves out, and why; nothing here asks a project anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOWHERE = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_ANON_KEY": "a", "SUPABASE_SECRET_KEY": "s"}


def real(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUPABASE_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--real", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_without_a_project_it_names_every_variable_that_is_missing() -> None:
    ended = real("tests/clients", SUPABASE_URL="http://127.0.0.1:1")
    assert ended.returncode == 4
    said = (
        "--real needs SUPABASE_ANON_KEY or SUPABASE_PUBLISHABLE_KEY, SUPABASE_SERVICE_ROLE_KEY or SUPABASE_SECRET_KEY"
    )
    assert said in ended.stderr


def test_a_test_that_needs_more_than_a_project_is_skipped_by_name_and_with_the_reason() -> None:
    ended = real("tests/clients/test_limits.py", "tests/clients/test_matching.py", **NOWHERE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "not on a real project: looks into the embedded stack" in ended.stdout
    assert "tests/clients/test_limits.py::test_who_cannot_pay_is_answered_402" in ended.stdout
    assert "5 skipped" in ended.stdout
    assert "deselected" in ended.stdout, "what asks for no project is left out"
    assert "passed" not in ended.stdout


def test_a_test_of_any_project_runs_on_the_one_that_is_named() -> None:
    ended = real("tests/adapters/test_objects.py", "-k", "replaces", **NOWHERE)
    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stdout or "ConnectError" in ended.stdout

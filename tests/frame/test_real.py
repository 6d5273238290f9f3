"""`pytest --real` says what it needs, what it leaves out, and why."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devstack.postgres.cluster import Cluster
from devstack.stack import Stack, open_stack
from tests.support.real import forbidden, problem_of
from tests.support.target import target_of

ROOT = Path(__file__).parents[2]
NOWHERE = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_ANON_KEY": "a", "SUPABASE_SECRET_KEY": "s"}

WRONG = {
    "url": "does not answer",
    "anon_key": "/auth/v1/settings with 401",
    "service_role_key": "headshot_sessions with 401",
}


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


def test_a_project_that_does_not_answer_is_told_of_in_one_line() -> None:
    ended = real("tests/adapters/test_objects.py", "-k", "replaces", **NOWHERE)
    assert ended.returncode == 4
    assert "ERROR: the project of SUPABASE_URL does not answer" in ended.stderr


async def test_a_test_of_any_project_runs_on_the_one_that_is_named(stack: Stack) -> None:
    variables = {"SUPABASE_URL": stack.url, "SUPABASE_SECRET_KEY": stack.keys.secret_key}
    variables["SUPABASE_PUBLISHABLE_KEY"] = stack.keys.publishable_key
    ended = await asyncio.to_thread(real, "tests/adapters/test_objects.py", "-k", "replaces", **variables)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout
    async with asyncpg.create_pool(stack.admin_url) as pool:
        assert await pool.fetchval("select count(*) from storage.objects") == 1


async def test_what_a_project_lacks_is_known_before_the_first_test(stack: Stack, cluster: Cluster) -> None:
    named = target_of(stack)
    assert await asyncio.to_thread(problem_of, named) is None
    for wrong, said in WRONG.items():
        problem = await asyncio.to_thread(problem_of, replace(named, **{wrong: "wrong"}))
        assert said in str(problem)
    admin = await asyncpg.connect(cluster.dsn())
    await admin.execute("create database empty_real")
    async with open_stack(cluster.dsn("empty_real"), keys=stack.keys, migrate=False) as empty:
        problem = await asyncio.to_thread(problem_of, target_of(empty))
    await admin.execute("drop database empty_real with (force)")
    await admin.close()
    assert problem == "lacks our tables: `listener migrate --apply`"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"external": {"anonymous_users": False}}, "forbids anonymous sign-ins"),
        (
            {"external": {"anonymous_users": True}, "disable_signup": True, "mailer_autoconfirm": True},
            "forbids sign-up",
        ),
        ({"external": {"anonymous_users": True}, "disable_signup": False, "mailer_autoconfirm": False}, "confirmed"),
    ],
)
def test_a_project_whose_users_could_not_sign_in_is_refused(settings: dict[str, Any], said: str) -> None:
    assert said in str(forbidden(settings))

"""`pytest --real`: the tests that need only a project run on the one that SUPABASE_URL and its keys name.

A test says by its fixtures what it needs. `project` is any project; the other fixtures are the embedded stack's, and a
test that has one of them is skipped with the reason. What asks for no project at all is left out.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.target import Target, named_by_the_environment

REASONS = {
    "dev": "is about `listener dev` itself",
    "stack": "looks into the embedded stack, makes it fail on purpose, or needs a queue that nobody else uses",
    "cluster": "makes a database of its own and changes what it likes in it",
}
ANSWERS_WITHIN_S = 30.0  # a hosted project may have been asleep
KEY: pytest.StashKey[Target] = pytest.StashKey()
SKIPPED: pytest.StashKey[dict[str, list[str]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real", action="store_true", help="run on the project that SUPABASE_URL and its keys name")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--real"):
        try:
            config.stash[KEY] = named_by_the_environment()
        except LookupError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if real_project(config) is None:
        return
    left_out: list[pytest.Item] = []
    skipped = config.stash.setdefault(SKIPPED, {})
    for item in list(items):
        names = set(getattr(item, "fixturenames", ()))
        reason = next((reason for name, reason in REASONS.items() if name in names), None)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
            skipped.setdefault(reason, []).append(item.nodeid)
        elif "project" not in names:
            items.remove(item)
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    if any(item.get_closest_marker("skip") is None for item in items):
        problem = problem_of(config.stash[KEY])
        if problem:
            raise pytest.UsageError(f"the project of SUPABASE_URL {problem}")


def problem_of(project: Target) -> str | None:
    """What every single test would else find out slowly, in one line."""
    try:
        with httpx.Client(base_url=project.url, timeout=ANSWERS_WITHIN_S) as client:
            settings = client.get("/auth/v1/settings", headers=_opened_by(project.anon_key))
            sessions = client.get("/rest/v1/headshot_sessions?limit=1", headers=_opened_by(project.service_role_key))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"does not answer: {error}"
    if sessions.status_code == httpx.codes.NOT_FOUND and settings.is_success:
        return "lacks our tables: `listener migrate --apply`"
    for answer in (settings, sessions):
        if not answer.is_success:
            return f"answers {answer.url.path} with {answer.status_code}: {answer.text[:200]}"
    return forbidden(settings.json())


def _opened_by(key: str) -> dict[str, str]:
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def forbidden(settings: dict[str, Any]) -> str | None:
    """What Auth's settings do not let the tests do."""
    if not settings["external"].get("anonymous_users"):
        return "forbids anonymous sign-ins"
    if settings["disable_signup"] or not settings["mailer_autoconfirm"]:
        return "forbids sign-up, or wants e-mails confirmed"
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for reason, names in config.stash.get(SKIPPED, {}).items():
        terminalreporter.section(f"not on a real project: {reason}")
        for name in names:
            terminalreporter.write_line(name)


def real_project(config: pytest.Config) -> Target | None:
    """The project that was named, if the tests run on one."""
    return config.stash.get(KEY, None)

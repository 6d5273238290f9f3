"""`pytest --real`: the tests that need only a project run on the one that SUPABASE_URL and its keys name.

A test says by its fixtures what it needs. `project` is any project; the other fixtures are the embedded stack's, and a
test that has one of them is skipped with the reason. What asks for no project at all is left out.
"""

from __future__ import annotations

import pytest

from tests.support.target import Target, named_by_the_environment

REASONS = {
    "dev": "is about `listener dev` itself",
    "stack": "looks into the embedded stack, makes it fail on purpose, or needs a queue that nobody else uses",
    "cluster": "makes a database of its own and changes what it likes in it",
}
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for reason, names in config.stash.get(SKIPPED, {}).items():
        terminalreporter.section(f"not on a real project: {reason}")
        for name in names:
            terminalreporter.write_line(name)


def real_project(config: pytest.Config) -> Target | None:
    """The project that was named, if the tests run on one."""
    return config.stash.get(KEY, None)

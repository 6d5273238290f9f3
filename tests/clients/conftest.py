"""One project with a worker for this folder: `listener dev`, or the one that `--real` names and a worker of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.project import Project, running_dev
from tests.support.real import real_project
from tests.support.target import Target, target_of
from tests.support.worker import worker_in_the_background


def _kept_for(fixture_name: str, config: pytest.Config) -> str:
    """A worker of a real project goes with the module: other modules' tests start workers of their own."""
    return "module" if real_project(config) else "session"


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with running_dev(tmp_path_factory.mktemp("project")) as running:
        yield running


@pytest.fixture(scope=_kept_for)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    if (real := real_project(request.config)) is None:
        yield target_of(request.getfixturevalue("dev"))
    else:
        with worker_in_the_background(real, tmp_path_factory.mktemp("worker")):
            yield real

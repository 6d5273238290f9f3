"""One running project for every test of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.project import Project, running_dev


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with running_dev(tmp_path_factory.mktemp("project")) as running:
        yield running

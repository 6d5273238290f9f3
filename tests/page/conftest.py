"""One running project for every test of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.project import Project, running_dev

# So many that a session can be caught in the middle.
FOR_A_SCREENSHOT = {"LISTENER_HEADSHOT_STEPS": "200"}
ONE_BY_ONE = {"LISTENER_PACK_BATCH": "1"}


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    settings = ONE_BY_ONE | (FOR_A_SCREENSHOT if os.environ.get("PAGE_SCREENSHOT") else {})
    with running_dev(tmp_path_factory.mktemp("project"), **settings) as running:
        yield running

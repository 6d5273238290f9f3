"""A pytest plugin for CI: files that take minutes begin first, or the others would wait for the last of them."""

from __future__ import annotations

import pytest

LONGEST = (
    "tests/faults/test_kills.py",
    "tests/faults/test_nth_call.py",
    "tests/conformance/test_realtime_conformance.py",
    "tests/handlers/test_runtime_keeper.py",
    "tests/handlers/test_runtime_faults.py",
    "tests/acceptance/",
    "tests/handlers/test_runtime",
    "tests/clients/",
    "tests/http/test_working_worker.py",
    "tests/http/test_guarded_worker.py",
    "tests/http/test_avatars_worker.py",
    "tests/http/test_s3_worker.py",
    "tests/http/test_packs_worker.py",
    "tests/http/test_contract.py",
    "tests/faults/",
    "tests/page/",
    "tests/cli/",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, place in enumerate(LONGEST) if item.nodeid.startswith(place)), len(LONGEST))

"""The API as its own document tells it, for requests that a machine invents: no 5xx, no answer that is not told."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.support.avatars import order
from tests.support.callers import Api, open_api
from tests.support.fuzzing import Fuzzed, fuzz

FEW, MANY = 400, 10_000
BRIEF = ("--phases", "coverage", "--exclude-operation-id", "receiveWebhook", "--seed", "1")


async def fuzzed(stack: Stack, folder: Path, *options: str) -> Fuzzed:
    """A run against a worker with sessions of every kind, and what it left of the database."""
    async with open_api(stack, folder, credits=100_000) as api:
        return await fuzz(api, folder, await _known(api), *options)


async def _known(api: Api) -> dict[str, str]:
    character = (await api.user.create()).body["character_id"]
    job = (await api.user.generate({"character_id": character, "image_count": 5})).body["job_id"]
    avatar = str((await order(api.store)).data["id"])
    return {"^/api/generate/": job, "^/(status|result)/": avatar, "^/api/sessions/.id": avatar}


async def test_some_hundred_invented_requests_find_no_fault_and_no_answer_that_is_not_documented(
    stack: Stack, tmp_path: Path
) -> None:
    run = await fuzzed(stack, tmp_path, *BRIEF)
    assert run.is_clean, run.said
    assert run.requests.total() >= FEW, run.table()
    assert {200, 201, 207, 400, 401, 404, 405, 415, 422} <= set(run.statuses), run.table()


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_ten_thousand_invented_requests_find_no_fault_and_no_answer_that_is_not_documented(
    stack: Stack, tmp_path: Path
) -> None:
    run = await fuzzed(stack, tmp_path, "--max-examples", "650")
    print(f"\n{run.table()}")
    assert run.is_clean, run.said
    assert run.requests.total() >= MANY, run.table()

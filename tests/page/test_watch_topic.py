"""The page's watcher on an owner's private topic: supabase-js against the stack, broadcasts alone carry the states."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from devstack.stack import Stack
from tests.sql.project import Held, Project, connect
from tests.support.node import Telling, telling
from tests.support.relay import Relay, open_relay

TABLE = "public.headshot_sessions"
NEVER_MS = 3_600_000
BY_TOPIC = {"table": "headshot_sessions", "byTopic": True, "pollMs": NEVER_MS, "livePollMs": NEVER_MS, "retryMs": 100}
Line = dict[str, Any]


@pytest.fixture
async def project(stack: Stack, database_url: str) -> AsyncIterator[Project]:
    """The stack's database; the table broadcasts and is published no more."""
    opened = Project(await connect(database_url))
    await opened.connection.execute(f"alter publication supabase_realtime drop table {TABLE}")
    await opened.connection.execute(f"select listener.set_broadcasts('{TABLE}', true)")
    yield opened
    await opened.connection.close()


@pytest.fixture
async def relay(project: Project, stack: Stack) -> AsyncIterator[Relay]:
    async with open_relay(stack.url) as opened:
        yield opened


def environment(relay: Relay, stack: Stack, row: UUID, **options: Any) -> dict[str, str]:
    wanted = json.dumps(BY_TOPIC | options)
    key = stack.keys.anon_key
    return {"SUPABASE_URL": relay.url, "SUPABASE_ANON_KEY": key, "ROW_ID": str(row), "OPTIONS": wanted}


def live(line: Line) -> bool:
    return line.get("connection") == "live"


def shows(status: str, progress: int) -> Any:
    return lambda line: "row" in line and (line["row"]["status"], line["row"]["progress"]) == (status, progress)


async def claimed(project: Project) -> Held:
    worker = await project.worker()
    (row,) = await project.claim(worker)
    return Held(worker, row["session"], row["attempt"], row["row_id"])


async def user_of(script: Telling) -> UUID:
    return UUID((await script.until(lambda line: "user" in line))["user"])


async def finish(project: Project, held: Held) -> None:
    assert await project.settle("complete_sessions", held, result={"seed": 7}) == ("applied", None)


async def test_every_state_comes_by_the_topic_alone(project: Project, relay: Relay, stack: Stack) -> None:
    row = uuid4()
    async with telling("tests/page/watched_row.mjs", **environment(relay, stack, row)) as script:
        user = await user_of(script)
        await script.until(live)
        await project.insert(user, id=row)
        await script.until(shows("queued", 0))  # the first one is read, for the inputs; from here on nothing can be
        await project.connection.execute(f"revoke select on {TABLE} from authenticated")
        held = await claimed(project)
        await script.until(shows("processing", 0))
        await project.outcomes("report_progress", held.worker, held.item(done=4, total=10, note="step 4"))
        seen = await script.until(shows("processing", 40))
        assert (seen["row"]["message"], seen["row"]["prompt"]) == ("step 4", len("a face"))
        await finish(project, held)
        ended = await script.until(lambda line: "finished" in line)
    assert (ended["finished"]["status"], ended["finished"]["result"]["seed"]) == ("completed", 7)
    assert (ended["channels"], ended["timers"]) == (0, 0)


async def test_a_result_that_is_too_large_to_send_is_read(project: Project, relay: Relay, stack: Stack) -> None:
    row = uuid4()
    async with telling("tests/page/watched_row.mjs", **environment(relay, stack, row)) as script:
        user = await user_of(script)
        await script.until(live)
        await project.insert(user, id=row)
        await script.until(shows("queued", 0))
        large = "jsonb_build_object('text', repeat('x', 210000))"
        await project.connection.execute(
            f"update {TABLE} set status = 'completed', result = {large}, version = version + 1"
        )
        ended = await script.until(lambda line: "finished" in line)
    assert ended["finished"]["result"] == 210_000


async def test_rows_of_one_owner_share_a_channel_and_it_comes_back_after_a_cut(
    project: Project, relay: Relay, stack: Stack
) -> None:
    first, second = uuid4(), uuid4()
    async with telling("tests/page/watched_row.mjs", **environment(relay, stack, first, also=str(second))) as script:
        user = await user_of(script)
        await script.until(live)
        for row in (first, second):
            await project.insert(user, id=row)
        await script.until(shows("queued", 0))
        relay.cut()
        await script.until(lambda line: line.get("connection") == "polling")
        await script.until(live)
        for also in (False, True):
            held = await claimed(project)
            told = (lambda line: line.get("also") == "processing") if also else shows("processing", 0)
            await script.until(told)
            await finish(project, held)
        ended = await script.until(lambda line: "finished" in line)
    assert ended["finished"]["status"] == "completed"
    assert ended["channels"] == 0


async def test_a_watch_that_follows_another_at_once_gets_a_channel_of_its_own(
    project: Project, relay: Relay, stack: Stack
) -> None:
    first, second = uuid4(), uuid4()
    async with telling("tests/page/watched_row.mjs", **environment(relay, stack, first, next=str(second))) as script:
        user = await user_of(script)
        await script.until(live)
        for row in (first, second):
            await project.insert(user, id=row)
        await finish(project, await claimed(project))
        await script.until(lambda line: line.get("next") == "live", within_s=10)
        await finish(project, await claimed(project))
        ended = await script.until(lambda line: "finished" in line)
    assert ended["channels"] == 0

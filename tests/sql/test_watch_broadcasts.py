"""What a table that broadcasts its states sends, to whom, and what it costs when nothing can be sent: nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.adopted import PLAIN, TABLE, held, insert, watch
from tests.sql.project import Project, Row

PARTITION = "create table realtime.messages_all partition of realtime.messages default"
COLUMNS = {"result": "outcome", "error_details": None}
STATE = {
    *("id", "status", "progress", "message", "error_code", "error_message", "outcome"),
    *("version", "started_at", "finished_at", "updated_at"),
}


@pytest.fixture(autouse=True)
async def table(project: Project) -> None:
    """A watched table that names its columns as it likes, and a day of Realtime's messages."""
    await project.connection.execute(f"{PLAIN}; alter table {TABLE} owner to postgres; {PARTITION}")
    await watch(project, columns=COLUMNS)


async def switch(project: Project, *, on: bool = True, table: str = TABLE) -> None:
    """Switch it as the operator of a hosted project, who is no superuser."""
    async with project.connection.transaction():
        await project.connection.execute("set local role postgres")
        await project.connection.execute(f"select listener.set_broadcasts('{table}', {on})")


async def sent(project: Project) -> list[Row]:
    return await project.rows(
        "select topic, event, extension, private, payload from realtime.messages order by inserted_at"
    )


async def states(project: Project) -> list[tuple[str, int]]:
    return [(row["payload"]["row"]["status"], row["payload"]["row"]["version"]) for row in await sent(project)]


async def broadcast_triggers(project: Project) -> int:
    count: int = await project.value(
        "select count(*) from pg_trigger where tgrelid = $1::text::regclass and tgname like 'listener_broadcast%'",
        TABLE,
    )
    return count


@asynccontextmanager
async def complaints(project: Project) -> AsyncIterator[list[str]]:
    """The warnings that the statements inside gave."""
    heard: list[str] = []

    def listen(_connection: Any, message: Any) -> None:
        heard.append(message.message)

    project.connection.add_log_listener(listen)
    yield heard
    project.connection.remove_log_listener(listen)


async def test_nothing_is_sent_and_no_policy_stands_unless_it_was_asked_for(project: Project, owner: UUID) -> None:
    await insert(project, owner, prompt="a face")
    await project.settle("complete_sessions", await held(project), result={})
    assert await sent(project) == []
    assert await project.value("select count(*) from pg_policies where policyname = 'listener_owner_hears'") == 0


async def test_the_owner_is_told_each_state_once_under_the_tables_own_names(project: Project, owner: UUID) -> None:
    await switch(project)
    row = await insert(project, owner, prompt="a secret face")
    attempt = await held(project)
    await project.outcomes("report_progress", attempt.worker, attempt.item(done=4, total=10, note="step 4"))
    await project.settle("complete_sessions", attempt, result={"seed": 7})
    messages = await sent(project)
    assert {(m["topic"], m["event"], m["extension"], m["private"]) for m in messages} == {
        (f"owner:{owner}", "session", "broadcast", True)
    }
    assert [(m["payload"]["row"]["status"], m["payload"]["row"]["progress"]) for m in messages] == [
        *(("queued", 0), ("processing", 0), ("processing", 40), ("completed", 100))
    ]
    for message in messages:
        payload = message["payload"]
        assert (payload["schema"], payload["table"], payload["is_partial"]) == ("public", "portrait_sessions", False)
        assert set(payload["row"]) == STATE
        assert payload["row"]["id"] == str(row)
    assert messages[-1]["payload"]["row"]["outcome"]["seed"] == 7
    assert "secret" not in str(messages)


async def test_what_is_no_news_of_a_session_is_not_sent(project: Project, owner: UUID) -> None:
    await switch(project)
    draft = await project.value(f"insert into {TABLE} (user_id, status) values ($1, 'draft') returning id", owner)
    await project.connection.execute(f"update {TABLE} set prompt = 'another' where id = $1", draft)
    assert await sent(project) == []
    rows = [await insert(project, owner, prompt="p") for _ in range(2)]
    await project.connection.execute(f"update {TABLE} set prompt = 'another'")
    assert len(await sent(project)) == 2
    await project.connection.execute(f"update {TABLE} set version = version + 1 where id = $1", rows[0])
    assert (await states(project))[2:] == [("queued", 1)]
    await project.connection.execute(f"update {TABLE} set version = version - 1 where id = $1", rows[0])


async def test_a_large_result_is_left_out_and_the_watcher_is_told_so(project: Project, owner: UUID) -> None:
    await switch(project)
    await insert(project, owner)
    await project.settle("complete_sessions", await held(project), result={"text": "x" * 60_000})
    assert not (await sent(project))[-1]["payload"]["is_partial"]
    await project.connection.execute(
        f"update {TABLE} set outcome = jsonb_build_object('text', repeat('x', 210000)), version = version + 1"
    )
    payload = (await sent(project))[-1]["payload"]
    assert payload["is_partial"]
    assert set(payload["row"]) == STATE - {"outcome"}
    await project.connection.execute(
        f"update {TABLE} set outcome = (select result from listener.visible_states), version = version - 1"
    )


async def test_only_the_owner_and_the_members_of_a_store_hear_its_topic(project: Project, owner: UUID) -> None:
    await switch(project)
    await switch(project)  # once more changes nothing
    store, member = uuid4(), uuid4()
    await project.connection.execute("insert into public.stores (id, name) values ($1, 'a store')", store)
    await project.connection.execute(
        "insert into public.store_members (store_id, user_id) values ($1, $2)", store, member
    )
    for topic in (owner, store):
        await project.value("select realtime.send('{}', 'session', $1, true)", f"owner:{topic}")
    await project.connection.execute(
        "insert into realtime.messages (topic, extension) values ($1, 'presence')", f"owner:{owner}"
    )

    async def heard(user: UUID) -> list[tuple[str, str]]:
        async with project.acting("authenticated", user) as connection:
            found = await connection.fetch("select topic, extension from realtime.messages")
        return [(row["topic"], row["extension"]) for row in found]

    assert await heard(owner) == [(f"owner:{owner}", "broadcast")]
    assert await heard(member) == [(f"owner:{store}", "broadcast")]
    assert await heard(uuid4()) == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting("authenticated", owner) as connection:
            await connection.execute(
                "insert into realtime.messages (topic, extension) values ($1, 'broadcast')", f"owner:{owner}"
            )


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        ("drop table realtime.messages_all", "WarnSendingBroadcastMessage: no partition"),
        (
            "drop function realtime.send(jsonb, text, text, boolean)",
            "listener: no state of public.portrait_sessions was broadcast",
        ),
    ],
)
async def test_what_cannot_be_sent_costs_neither_the_insert_nor_the_settlement(
    project: Project, owner: UUID, harm: str, complaint: str
) -> None:
    await switch(project)
    await project.connection.execute(harm)
    async with complaints(project) as heard:
        await insert(project, owner)
        attempt = await held(project)
        assert await project.settle("complete_sessions", attempt, result={}) == ("applied", None)
    assert [complaint in warning for warning in heard] == [True] * 3
    assert await project.value("select count(*) from listener.session_tables where broken_at is not null") == 0
    assert await project.balance(owner) == 9


async def test_it_can_be_switched_off_again(project: Project, owner: UUID) -> None:
    await switch(project)
    assert await broadcast_triggers(project) == 2
    await switch(project, on=False)
    assert await broadcast_triggers(project) == 0
    await insert(project, owner)
    assert await sent(project) == []


async def test_mending_keeps_it_and_unwatching_ends_it(project: Project, owner: UUID) -> None:
    await switch(project)
    await project.connection.execute(f"alter table {TABLE} rename outcome to made")
    columns = {**COLUMNS, "result": "made"}
    await project.value("select listener.mend($1::text::regclass, $2)", TABLE, columns)
    await insert(project, owner)
    await project.settle("complete_sessions", await held(project), result={"seed": 7})
    assert (await sent(project))[-1]["payload"]["row"]["made"]["seed"] == 7
    await project.value("select listener.unwatch($1::text::regclass)", TABLE)
    assert await broadcast_triggers(project) == 0


async def refusal(project: Project, **asked: Any) -> str:
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="cannot broadcast") as refused:
        await switch(project, **asked)
    assert refused.value.detail
    assert refused.value.hint
    return str(refused.value)


async def test_a_table_that_is_not_watched_is_refused(project: Project) -> None:
    assert "not_watched" in await refusal(project, table="public.characters")


@pytest.mark.parametrize(
    "harm", ["drop function realtime.send(jsonb, text, text, boolean)", "drop table realtime.messages"]
)
async def test_a_project_without_realtime_is_refused_and_may_still_switch_off(project: Project, harm: str) -> None:
    await switch(project)
    await project.connection.execute(harm)
    assert "realtime_missing" in await refusal(project)
    assert await broadcast_triggers(project) == 2
    await switch(project, on=False)
    assert await broadcast_triggers(project) == 0

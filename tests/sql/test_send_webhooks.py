"""The signed wake-up of the database: sent with the commit, once a transaction, verifiable, and never in the way."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from standardwebhooks import Webhook

from tests.sql.project import SECOND_TABLE, Project

URL = "https://worker.example/hooks/supabase"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


async def set_webhook(project: Project, url: str = URL, secret: str | None = SECRET, kinds: Any = None) -> str:
    made: str = await project.value("select listener.set_webhook($1, secret => $2, kinds => $3)", url, secret, kinds)
    return made


async def queued(project: Project) -> list[dict[str, Any]]:
    """What pg_net would send, oldest first."""
    found = await project.rows("select url, headers, body from net.http_request_queue order by id")
    return [{**one, "body": bytes(one["body"])} for one in found]


async def test_an_insert_queues_one_webhook_that_the_official_library_verifies(project: Project) -> None:
    await set_webhook(project)
    await project.insert(uuid4(), count=3)
    (sent,) = await queued(project)
    assert sent["url"] == URL
    assert sent["headers"]["Content-Type"] == "application/json"
    body = Webhook(SECRET).verify(sent["body"], sent["headers"])
    assert body == {
        "type": "INSERT",
        "schema": "public",
        "table": "headshot_sessions",
        "record": None,
        "old_record": None,
    }


@pytest.mark.parametrize("length", [24, 31, 32, 63, 64])
async def test_a_secret_of_any_length_signs_as_hmac_does(project: Project, length: int) -> None:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(length)).decode()
    await set_webhook(project, secret=secret)
    await project.insert(uuid4())
    (sent,) = await queued(project)
    Webhook(secret).verify(sent["body"], sent["headers"])


async def test_a_secret_that_is_left_out_is_made_and_told_once(project: Project) -> None:
    first, second = await set_webhook(project, secret=None), await set_webhook(project, secret=None)
    assert first != second, "set again, it is another one"
    assert len(base64.b64decode(first.removeprefix("whsec_"))) == 48
    await project.insert(uuid4())
    (sent,) = await queued(project)
    Webhook(second).verify(sent["body"], sent["headers"])


async def test_a_row_that_is_rolled_back_sends_nothing(project: Project) -> None:
    await set_webhook(project)
    with pytest.raises(asyncpg.PostgresError, match="credits_insufficient"):
        await project.insert(uuid4(), count=11)
    assert await queued(project) == []


async def test_many_statements_of_one_transaction_send_one_webhook_for_each_table_and_target(project: Project) -> None:
    await project.connection.execute(SECOND_TABLE)
    await set_webhook(project)
    await set_webhook(project, "http://10.0.0.7:8000/hooks/supabase")
    for _ in range(2):
        async with project.acting("service_role") as connection:
            for table in ("headshot_sessions", "portrait_sessions", "headshot_sessions", "portrait_sessions"):
                for _ in range(3):
                    await connection.execute(
                        f"insert into public.{table} (user_id, prompt) values (gen_random_uuid(), 'p')"
                    )
    sent = [(one["url"], json.loads(one["body"])["table"]) for one in await queued(project)]
    assert len(sent) == 2 * 2 * 2
    assert len(set(sent)) == 4


async def test_a_statement_that_was_taken_back_does_not_silence_the_next_one(project: Project) -> None:
    await set_webhook(project)
    async with project.acting("service_role") as connection:
        insert = "insert into public.headshot_sessions (user_id, prompt) values (gen_random_uuid(), 'p')"
        await connection.execute(f"savepoint before; {insert}; rollback to savepoint before")
        await connection.execute(insert)
    assert len(await queued(project)) == 1


async def test_a_worker_that_serves_other_kinds_hears_nothing(project: Project) -> None:
    await set_webhook(project, kinds=["portrait"])
    await set_webhook(project, "https://other.example/hooks", kinds=["pack", "headshot"])
    await project.insert(uuid4())
    assert [one["url"] for one in await queued(project)] == ["https://other.example/hooks"]


async def test_rows_that_are_no_sessions_send_nothing(project: Project) -> None:
    await set_webhook(project)
    async with project.acting("service_role") as connection:
        await connection.execute(
            "insert into public.headshot_sessions (user_id, prompt, status)"
            " values (gen_random_uuid(), 'p', 'completed')"
        )
    assert await queued(project) == []


async def test_a_dropped_webhook_is_sent_no_more(project: Project) -> None:
    await set_webhook(project)
    assert await project.value("select listener.drop_webhook($1)", URL)
    assert not await project.value("select listener.drop_webhook($1)", URL)
    await project.insert(uuid4())
    assert await queued(project) == []


@pytest.mark.parametrize("broken", ["drop function net.http_post", "drop table net.http_request_queue"])
async def test_pg_net_gone_or_broken_never_stops_an_insert(project: Project, broken: str) -> None:
    await set_webhook(project)
    await project.connection.execute(f"{broken} cascade" if "table" in broken else broken)
    warnings: list[str] = []
    project.connection.add_log_listener(lambda _connection, message: warnings.append(str(message)))
    owner = uuid4()
    (row,) = await project.insert(owner)
    assert (await project.session(row))["status"] == "queued"
    assert await project.balance(owner) == 9
    assert "no webhook was sent" in warnings[0]


async def test_one_target_that_is_refused_does_not_silence_the_others(project: Project) -> None:
    await project.connection.execute(
        "alter table net.http_request_queue add constraint reachable check (url not like '%refused%')"
    )
    await set_webhook(project, "https://a-refused.example/hooks")
    await set_webhook(project)
    await project.insert(uuid4())
    assert [one["url"] for one in await queued(project)] == [URL]


async def test_without_pg_net_a_webhook_is_refused_with_the_remedy(project: Project) -> None:
    await project.connection.execute("drop schema if exists net cascade")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError) as refused:
        await set_webhook(project)
    assert "pg_net" in str(refused.value.hint)
    await project.insert(uuid4())


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", SECRET[6:], "whsec_QUJD", "whsec_" + "A" * 88])
async def test_a_weak_or_malformed_secret_is_refused(project: Project, secret: str) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="24 to 64"):
        await set_webhook(project, secret=secret)


@pytest.mark.parametrize("url", ["worker.example", "ftp://x/y", "https://u:p@x/y", "https://x/a b", ""])
async def test_a_url_that_nobody_could_post_to_is_refused(project: Project, url: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await set_webhook(project, url)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize(
    "statement",
    [
        "select inner_key from listener.webhooks",
        "select count(*) from listener.webhooks",
        "select listener.set_webhook('https://evil.example')",
        "select listener.drop_webhook('https://worker.example/hooks/supabase')",
        "select listener.send_webhooks('public.headshot_sessions'::regclass)",
        "select listener.webhook_signature(null, 'anything')",
        "select listener.hmac_key('a', 54)",
    ],
)
async def test_no_role_of_the_api_reads_the_keys_sends_or_changes_a_webhook(
    project: Project, role: str, statement: str
) -> None:
    await set_webhook(project)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, UUID(int=7)) as connection:
            await connection.execute(statement)


async def test_the_secret_itself_is_stored_nowhere_and_sent_nowhere(project: Project) -> None:
    await set_webhook(project)
    await project.insert(uuid4())
    key = base64.b64decode(SECRET[6:])
    stored = await project.value("select inner_key || outer_key from listener.webhooks")
    assert key not in bytes(stored)
    assert SECRET[6:] not in str(await queued(project))

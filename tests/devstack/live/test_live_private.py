"""Private channels, what SQL sends, what is sent again, and broadcasts over HTTP."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import ANY

import aiohttp
import pytest

from tests.devstack.live.conftest import OTHER, OWNER, Client, Live

Written = Callable[..., Awaitable[Any]]
HELLO = {"type": "broadcast", "event": "hello", "payload": {"x": 1}}
OWN_TOPIC = "realtime.topic() = 'user:' || (select auth.uid())"
READ = f"create policy hear on realtime.messages for select to authenticated using ({OWN_TOPIC})"
WRITE = f"create policy speak on realtime.messages for insert to authenticated with check ({OWN_TOPIC})"
TOPIC = f"user:{OWNER}"
SEND = "select realtime.send($1::jsonb, $2, $3, $4)"


@pytest.fixture
async def policies(live: Live, written: Written) -> None:
    """Everybody may hear and speak on a channel of his own name."""
    await written(READ)
    await written(WRITE)


async def hear(client: Client, topic: str = TOPIC, token: str | None = None, *, private: bool = True) -> None:
    """Join, and return when messages from SQL arrive."""
    await client.join(topic, token=token, private=private, broadcast={"replication_ready": True})
    assert (await client.until("system"))["message"] == "Replication connection established"


def unauthorized(topic: str) -> dict[str, Any]:
    reason = f"Unauthorized: You do not have permissions to read from this Channel topic: {topic}"
    return {"status": "error", "response": {"reason": reason}}


async def test_without_a_policy_nobody_but_the_service_is_let_in(live: Live, written: Written) -> None:
    async with live.client() as client:
        assert await client.join("e8", private=True) == unauthorized("e8")
        assert await client.join("e8", token=live.user(), private=True) == unauthorized("e8")
        assert (await client.join("e8", token=live.keys.service_role_key, private=True))["status"] == "ok"


async def test_a_policy_lets_in_whom_it_names(live: Live, policies: None) -> None:
    async with live.client() as client:
        assert await client.join(TOPIC, token=live.user(OTHER), private=True) == unauthorized(TOPIC)
        assert (await client.join(TOPIC, token=live.user(OWNER), private=True))["status"] == "ok"


async def test_a_policy_that_raises_lets_nobody_in(live: Live, written: Written) -> None:
    await written("create policy broken on realtime.messages for select to anon using ((1 / 0) = 1)")
    async with live.client() as client:
        assert await client.join("e8", private=True) == unauthorized("e8")


async def test_a_token_cannot_name_a_role_that_the_api_may_not_take(live: Live) -> None:
    token = live.keys.mint({"role": "postgres"}, valid_s=60)
    async with live.client() as client:
        assert await client.join("e8", token=token, private=True) == unauthorized("e8")


async def test_asking_the_policies_leaves_no_message_behind(live: Live, policies: None, written: Written) -> None:
    async with live.client() as client:
        await client.join(TOPIC, token=live.user(OWNER), private=True, broadcast={"ack": True})
        await client.push(f"realtime:{TOPIC}", "broadcast", HELLO, "1")
        assert (await client.until("phx_reply"))["status"] == "ok"
    assert await written("select count(*) from realtime.messages") == 0


async def test_a_private_channel_and_a_public_one_of_the_same_name_do_not_hear_each_other(
    live: Live, policies: None
) -> None:
    async with live.client() as private, live.client() as public:
        await private.join(TOPIC, token=live.user(OWNER), private=True)
        await public.join(TOPIC, broadcast={"ack": True})
        await public.push(f"realtime:{TOPIC}", "broadcast", HELLO, "1")
        assert (await public.until("phx_reply"))["status"] == "ok"
        assert await private.silent()


async def test_who_may_only_hear_is_not_heard(live: Live, written: Written) -> None:
    await written(READ)
    async with live.client() as one, live.client() as two:
        for client in (one, two):
            await client.join(TOPIC, token=live.user(OWNER), private=True, broadcast={"ack": True, "self": True})
        await one.push(f"realtime:{TOPIC}", "broadcast", HELLO, "1")
        assert await one.silent()
        assert await two.silent()
        await written(WRITE)
        await one.push(f"realtime:{TOPIC}", "access_token", {"access_token": live.user(OWNER, fresh=True)}, "1")
        await one.push(f"realtime:{TOPIC}", "broadcast", HELLO, "1")
        assert await two.until("broadcast") == HELLO


async def test_a_token_that_may_hear_no_more_closes_its_channel(live: Live, policies: None) -> None:
    async with live.client() as client:
        await client.join(TOPIC, token=live.user(OWNER), private=True)
        await client.push(f"realtime:{TOPIC}", "access_token", {"access_token": live.user(OTHER)}, "1")
        told = await client.until("system")
        assert told["message"] == f"You do not have permissions to read from this Channel topic: {TOPIC}"
        assert (told["status"], told["extension"]) == ("error", "system")
        assert (await client.next())[3] == "phx_close"


async def test_sql_speaks_to_a_private_channel_with_its_transaction(
    live: Live, policies: None, written: Written, tables: Any
) -> None:
    async with live.client() as one, live.client("2.0.0") as two, live.client() as public:
        for client in (one, two):
            await hear(client, token=live.user(OWNER))
        await hear(public, private=False)
        transaction = tables.transaction()
        await transaction.start()
        await tables.execute(SEND, "{}", "rolled back", TOPIC, True)
        await transaction.rollback()
        await written(SEND, '{"id": 1}', "INSERT", TOPIC, True)
        told = await one.until("broadcast")
        assert told == {"event": "INSERT", "meta": {"id": ANY}, "payload": {"id": 1}, "type": "broadcast"}
        data = (await two.next())[4]
        meta = json.dumps({"id": told["meta"]["id"]}, separators=(",", ":")).encode()
        topic = f"realtime:{TOPIC}".encode()
        assert data == bytes([4, len(topic), 6, len(meta), 1]) + topic + b"INSERT" + meta + b'{"id": 1}'
        assert await public.silent()
        await written(SEND, "{}", "INSERT", TOPIC, False)
        assert (await public.until("broadcast"))["payload"] == {"id": ANY}
        assert await one.silent()


async def test_a_trigger_tells_of_a_changed_row(live: Live, policies: None, written: Written) -> None:
    await written("""create function tell() returns trigger language plpgsql as $$ begin
        perform realtime.broadcast_changes('user:' || new.user_id, tg_op, tg_op, tg_table_name, tg_table_schema,
          new, old); return null; end $$""")
    await written("create trigger tell after insert on owned for each row execute function tell()")
    async with live.client() as client:
        await hear(client, token=live.user(OWNER))
        await written("insert into owned (user_id) values ($1)", OWNER)
        payload = (await client.until("broadcast"))["payload"]
    assert (payload["table"], payload["operation"], payload["record"]["user_id"]) == ("owned", "INSERT", OWNER)
    assert payload["old_record"] is None


async def test_a_user_without_a_policy_sends_nothing_from_sql_and_is_only_warned(
    live: Live, written: Written, tables: Any
) -> None:
    warnings: list[str] = []
    tables.add_log_listener(lambda _connection, message: warnings.append(message.message))
    async with tables.transaction():
        await tables.execute("set local role authenticated")
        await tables.execute("select realtime.send('{}', 'e', 't', true)")
    assert "WarnSendingBroadcastMessage: new row violates row-level security" in warnings[0]
    assert await written("select count(*) from realtime.messages") == 0


async def test_what_was_missed_is_sent_again_in_order_and_marked(live: Live, policies: None, written: Written) -> None:
    for number in range(3):
        await written(SEND, json.dumps({"id": number}), "INSERT", TOPIC, True)
    await written(SEND, "{}", "INSERT", TOPIC, False)
    await written(SEND, "{}", "INSERT", "elsewhere", True)
    replay = {"since": 0, "limit": 2}
    async with live.client("2.0.0") as client:
        joined = await client.join(TOPIC, token=live.user(OWNER), private=True, broadcast={"replay": replay})
        assert joined == {"status": "ok", "response": {"postgres_changes": []}}
        frames = [await client.next() for _ in range(2)]
        assert [frame[4]["payload"]["id"] for frame in frames] == [1, 2]
        told = {"event": "INSERT", "meta": {"id": ANY, "replayed": True}, "payload": {"id": 1}, "type": "broadcast"}
        assert frames[0] == ["1", None, f"realtime:{TOPIC}", "broadcast", told]
        assert await client.silent()


async def test_what_cannot_be_sent_again_is_refused(live: Live, policies: None) -> None:
    async def refused(**config: Any) -> str:
        return str((await client.join(TOPIC, token=live.user(OWNER), **config))["response"]["reason"])

    since = {"since": 1}
    async with live.client() as client:
        public = "UnableToReplayMessages: Replay is not allowed for public channels"
        assert await refused(broadcast={"replay": since}) == public
        invalid = "UnableToReplayMessages: Replay params are not valid"
        for bad in ({"since": "x"}, {"since": 10**20}, {"since": 1, "limit": "x"}):
            assert await refused(private=True, broadcast={"replay": bad}) == invalid


async def test_readiness_is_told_when_it_is_asked_for(live: Live, policies: None) -> None:
    async with live.client() as client:
        await client.join(TOPIC, token=live.user(OWNER), private=True, broadcast={"replication_ready": True})
        told = {"message": "Replication connection established", "status": "ok", "extension": "system"}
        assert await client.until("system") == {**told, "channel": TOPIC}


async def posted(live: Live, path: str, body: Any, token: str | None = None) -> tuple[int, str]:
    url = live.url.replace("websocket", path)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_broadcasts_over_http_reach_their_room(live: Live, policies: None) -> None:
    def batch(**message: Any) -> Any:
        return {"messages": [{"topic": TOPIC, "event": "e", "payload": {"a": 1}, **message}]}

    async with live.client() as public, live.client() as private:
        await public.join(TOPIC)
        await private.join(TOPIC, token=live.user(OWNER), private=True)
        assert await posted(live, "api/broadcast", batch()) == (401, '{"message":"Unauthorized"}')
        assert await posted(live, "api/broadcast", batch(), live.keys.anon_key) == (202, "")
        assert await public.until("broadcast") == {"event": "e", "payload": {"a": 1}, "type": "broadcast"}
        # Who may not speak gets no other answer, and is not heard.
        assert await posted(live, "api/broadcast", batch(private=True), live.keys.anon_key) == (202, "")
        assert await private.silent()
        path = f"api/broadcast/{TOPIC}/events/ev?private=true"
        assert await posted(live, path, {"b": 2}, live.user(OWNER)) == (202, "")
        assert (await private.until("broadcast"))["payload"] == {"b": 2}
        assert await public.silent()


async def test_a_broadcast_that_lacks_something_is_refused_over_http(live: Live) -> None:
    status, text = await posted(live, "api/broadcast", {"messages": [{"topic": "t"}]}, live.keys.anon_key)
    assert (status, json.loads(text)["errors"]["messages"][0]["event"]) == (422, ["can't be blank"])
    assert (await posted(live, "api/broadcast", {}, live.keys.anon_key))[0] == 422

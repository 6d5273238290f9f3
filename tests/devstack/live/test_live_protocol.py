"""What a socket and its channels answer, word for word as recorded from the real server."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import jwt
import pytest

from devstack.tokens import ProjectKeys
from tests.devstack.live.conftest import OWNER, Live

Written = Callable[..., Awaitable[Any]]
ROWS = {"event": "*", "schema": "public", "table": "rows"}
SUBSCRIBED = {"message": "Subscribed to PostgreSQL", "status": "ok", "extension": "postgres_changes"}
CLAIMS = {"role": "anon", "exp": 4_000_000_000}


def signed(live: Live, **claims: Any) -> str:
    return jwt.encode(claims, live.keys.jwt_secret, algorithm="HS256")


def bad_tokens(live: Live) -> dict[str, str]:
    return {
        "malformed": "abc",
        "signature": jwt.encode(CLAIMS, "another secret, long enough for it", algorithm="HS256"),
        "expired": signed(live, role="anon", exp=int(time.time()) - 5),
        "no role": signed(live, exp=4_000_000_000),
        "no exp": signed(live, role="anon"),
    }


def on_time(text: str) -> str:
    """The clock may tick between making a token and the answer."""
    return text.replace("6 seconds", "5 seconds")


FIELDS = "Fields `role` and `exp` are required in JWT"


async def test_a_bad_key_is_refused_before_the_socket_opens(live: Live) -> None:
    texts = {
        "malformed": "The token provided is not a valid JWT",
        "signature": "Failed to validate JWT signature",
        "expired": "Token has expired",
        "no role": FIELDS,
        "no exp": FIELDS,
    }
    good = live.keys.anon_key
    async with aiohttp.ClientSession() as session:
        for kind, token in bad_tokens(live).items():
            async with session.get(live.url, params={"apikey": token}) as answer:
                assert (kind, answer.status, await answer.json()) == (kind, 401, {"error": texts[kind]})
            async with session.get(live.url, params={"apikey": good}, headers={"x-api-key": token}) as answer:
                assert (kind, answer.status, await answer.json()) == (kind, 401, {"error": texts[kind]})


async def test_a_missing_key_and_an_unknown_version_are_refused(live: Live) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(live.url) as answer:
            assert (answer.status, await answer.json()) == (401, {"error": "API key is missing"})
        params = {"apikey": live.keys.anon_key, "vsn": "9.0.0"}
        async with session.get(live.url, params=params) as answer:
            assert (answer.status, await answer.read()) == (403, b"")


async def test_a_bad_token_is_refused_at_the_join(live: Live) -> None:
    reasons = {
        "malformed": "MalformedJWT: The token provided is not a valid JWT",
        "signature": "JwtSignatureError: Failed to validate JWT signature",
        "expired": "InvalidJWTToken: Token has expired 5 seconds ago",
        "no role": f"InvalidJWTToken: {FIELDS}",
        "no exp": f"InvalidJWTToken: {FIELDS}",
    }
    async with live.client() as client:
        answers = {kind: await client.join("e1", ROWS, token=token) for kind, token in bad_tokens(live).items()}
    assert {answer["status"] for answer in answers.values()} == {"error"}
    assert {kind: on_time(answer["response"]["reason"]) for kind, answer in answers.items()} == reasons


async def test_a_bad_fresh_token_closes_the_channel_and_not_the_socket(live: Live) -> None:
    messages = {
        "malformed": "The token provided is not a valid JWT",
        "signature": ":signature_error",
        "expired": "Token has expired 5 seconds ago",
        "no role": FIELDS,
        "no exp": FIELDS,
    }
    async with live.client("2.0.0") as client:
        for kind, token in bad_tokens(live).items():
            joined = await client.push("realtime:at", "phx_join", {"config": {"postgres_changes": [ROWS]}})
            await client.until("system")
            await client.push("realtime:at", "access_token", {"access_token": token}, joined)
            told = await client.until("system")
            assert (kind, on_time(told["message"])) == (kind, messages[kind])
            assert told | {"status": "error", "extension": "system", "channel": "at"} == told
            assert await client.next() == [joined, joined, "realtime:at", "phx_close", {}]
            await client.push("realtime:at", "broadcast", {"event": "x"})
            assert (await client.until("phx_reply"))["response"] == {"reason": "unmatched topic"}


async def test_a_fresh_token_changes_what_is_seen_and_is_told(live: Live, written: Written) -> None:
    owned = {"event": "*", "schema": "public", "table": "owned"}
    async with live.client() as client:
        await client.subscribe("at", owned)
        for ignored in (live.keys.anon_key, None, "sb_publishable_x", 7):
            await client.push("realtime:at", "access_token", {"access_token": ignored})
        await client.push("realtime:at", "access_token", {})
        # A later subscription is told first: nothing was subscribed anew.
        assert (await client.subscribe("later", ROWS))["channel"] == "later"
        await client.push("realtime:at", "access_token", {"access_token": live.user(OWNER)})
        assert await client.until("system") == {**SUBSCRIBED, "channel": "at"}
        await written("insert into owned (user_id) values ($1)", OWNER)
        assert (await client.change())["record"]["user_id"] == OWNER


async def test_a_channel_ends_when_its_token_does_and_others_stay(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.subscribe("stays", ROWS)
        await client.subscribe("ends", ROWS, token=live.keys.mint({"role": "anon"}, valid_s=1))
        told = await client.until("system")
        assert told == {
            "message": "Token has expired 0 seconds ago",
            "status": "error",
            "extension": "system",
            "channel": "ends",
        }
        assert (await client.next())[2:4] == ["realtime:ends", "phx_close"]
        await written("insert into rows default values")
        assert (await client.next())[2:4] == ["realtime:stays", "postgres_changes"]


async def test_equal_bindings_have_equal_ids_everywhere_and_are_echoed_in_order(live: Live) -> None:
    other = {"event": "INSERT", "schema": "public", "table": "rows", "filter": "status=eq.queued"}
    async with live.client("1.0.0") as one, live.client("2.0.0") as two:
        first = (await one.join("a", ROWS, other))["response"]["postgres_changes"]
        second = (await two.join("b", other, ROWS))["response"]["postgres_changes"]
    assert first == list(reversed(second))
    assert [{key: each[key] for key in each if key != "id"} for each in first] == [ROWS, other]
    assert all(isinstance(each["id"], int) and each["id"] > 0 for each in first)
    assert first[0]["id"] != first[1]["id"]


async def test_a_bad_list_of_bindings_joins_with_none(live: Live) -> None:
    async with live.client() as client:
        await client.push("realtime:e7", "phx_join", {"config": {"postgres_changes": "x"}})
        assert await client.until("phx_reply") == {"status": "ok", "response": {"postgres_changes": []}}
        assert await client.silent()


@pytest.mark.parametrize(("version", "ref"), [("1.0.0", None), ("2.0.0", "1")])
async def test_a_second_join_closes_the_first_one_by_its_old_reference(
    live: Live, version: str, ref: str | None
) -> None:
    async with live.client(version) as client:
        await client.subscribe("dup", ROWS)
        await client.push("realtime:dup", "phx_join", {"config": {"postgres_changes": [ROWS]}})
        frames = [await client.next() for _ in range(3)]
    assert [frame[3] for frame in frames] == ["phx_reply", "phx_close", "system"]
    assert (frames[0][1], frames[1][:2]) == ("2", [ref, "1"])
    assert frames[2][4] == {**SUBSCRIBED, "channel": "dup"}


async def test_leaving_is_answered_and_ends_the_changes(live: Live, written: Written) -> None:
    async with live.client("2.0.0") as client:
        await client.subscribe("t1", ROWS)
        await client.push("realtime:t1", "phx_leave", {}, "1")
        assert await client.next() == ["1", "2", "realtime:t1", "phx_reply", {"status": "ok", "response": {}}]
        assert await client.next() == ["1", "1", "realtime:t1", "phx_close", {}]
        await client.subscribe("t2", ROWS)
        await written("insert into rows default values")
        assert (await client.next())[2] == "realtime:t2"
        assert await client.silent()


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_odd_frames_are_ignored_and_unknown_topics_answered(live: Live, version: str) -> None:
    async with live.client(version) as client:
        await client.join("pe")
        await client.push("realtime:pe", "whatever", {"a": 1})
        wrong_framing: Any = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "7"}
        if version == "1.0.0":
            wrong_framing = ["1", "1", "phoenix", "heartbeat", {}]
        for odd in ("{not json", json.dumps(wrong_framing), "[" * 200_000, "null", '{"topic": 1, "event": 2}'):
            await client.socket.send_str(odd)
        await client.socket.send_bytes(b"\x03\xff\xff")
        assert await client.silent()
        await client.push("realtime:never", "broadcast", {})
        assert (await client.until("phx_reply"))["response"] == {"reason": "unmatched topic"}
        await client.push("foo", "phx_join", {})
        assert (await client.until("phx_reply"))["response"] == {"reason": "unmatched topic"}
        await client.push("realtime:", "phx_join", {})
        reason = "TopicNameRequired: You must provide a topic name"
        assert (await client.until("phx_reply"))["response"] == {"reason": reason}


async def test_half_a_character_from_a_client_breaks_nothing(live: Live) -> None:
    async with live.client() as client:
        await client.socket.send_str('{"topic":"realtime:\\ud800","event":"phx_join","payload":{},"ref":"1"}')
        assert await client.silent()  # no JSON, and so no frame
        told = await client.subscribe("a", {**ROWS, "filter": "id=eq.\x00"})
        assert told["status"] == "error"
        assert await client.silent()


async def test_the_heartbeat_gives_its_reference_back_even_when_it_has_none(live: Live) -> None:
    async with live.client() as client:
        for ref in ("7", None):
            await client.socket.send_json({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": ref})
            assert await client.next() == [None, ref, "phoenix", "phx_reply", {"status": "ok", "response": {}}]


async def test_a_join_with_no_token_or_a_new_style_key_uses_the_sockets_key(live: Live, written: Written) -> None:
    owned = {"event": "*", "schema": "public", "table": "owned"}
    async with live.client(token=live.user(OWNER)) as client:
        for token in (None, "", "sb_secret_xyz"):
            assert (await client.subscribe(f"t{token}", owned, token=token))["status"] == "ok"
        await written("insert into owned (user_id) values ($1)", OWNER)
        assert {(await client.next())[3] for _ in range(3)} == {"postgres_changes"}


async def test_a_connection_has_at_most_a_hundred_channels(live: Live) -> None:
    async with live.client() as client:
        for number in range(100):
            assert (await client.join(f"c{number}"))["status"] == "ok"
        assert (await client.join("c100"))["response"] == {"reason": "ChannelRateLimitReached: Too many channels"}
        await client.push("realtime:c0", "phx_leave", {})
        await client.until("phx_close")
        assert (await client.join("c100"))["status"] == "ok"


async def test_a_join_without_configuration_gets_the_old_frames(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.push("realtime:public:rows", "phx_join", {"user_token": live.keys.anon_key})
        reply = await client.until("phx_reply")
        assert reply["response"]["postgres_changes"][0] | {"schema": "public", "table": "rows"}
        assert (await client.until("system"))["channel"] == "public:rows"
        await written("insert into rows (prompt) values ('legacy')")
        assert (await client.until("INSERT"))["record"]["prompt"] == "legacy"


async def test_a_key_of_another_project_opens_nothing(live: Live) -> None:
    token = ProjectKeys.generate().service_role_key
    async with aiohttp.ClientSession() as session, session.get(live.url, params={"apikey": token}) as answer:
        assert answer.status == 401


async def test_a_second_join_that_is_refused_ends_the_first_one_all_the_same(live: Live) -> None:
    async with live.client("2.0.0") as client:
        await client.subscribe("dup", ROWS)
        refused = await client.join("dup", ROWS, token="abc")
        assert refused["status"] == "error"
        assert await client.next() == ["1", "1", "realtime:dup", "phx_close", {}]
        await client.push("realtime:dup", "broadcast", {"event": "x"})
        assert (await client.until("phx_reply"))["response"] == {"reason": "unmatched topic"}

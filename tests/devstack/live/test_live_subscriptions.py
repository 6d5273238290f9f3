"""Which subscriptions are accepted, with what filters, from when on, and in which words the others are refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.devstack.live.conftest import OWNER, Live

Written = Callable[..., Awaitable[Any]]
ROWS = {"event": "*", "schema": "public", "table": "rows"}
REFUSED = "Unable to subscribe to changes with given parameters."
ENABLED = f"{REFUSED} Please check Realtime is enabled for the given connect parameters:"
RAISED = f"{REFUSED} An exception happened so please check your connect parameters:"
WATCHED = "event: *, schema: public, table: rows"


REFUSED_BINDINGS: list[tuple[dict[str, Any], str]] = [
    (
        {"event": "*", "schema": "public", "table": "unpublished"},
        f"{ENABLED} [event: *, schema: public, table: unpublished, filters: [], select: nil]",
    ),
    (
        {"event": "INSERT", "schema": "public", "table": "nope"},
        f"{ENABLED} [event: INSERT, schema: public, table: nope, filters: [], select: nil]",
    ),
    ({**ROWS, "filter": "status=foo.queued"}, 'Error parsing `filter` params: ["foo", "queued"]'),
    ({**ROWS, "filter": "undefined"}, 'Error parsing `filter` params: ["undefined"]'),
    (
        {**ROWS, "filter": "status=in.a,b"},
        "Error parsing `filter` params: `in` filter value must be wrapped by parentheses",
    ),
    (
        {**ROWS, "filter": "nocol=eq.1"},
        f'{RAISED} [{WATCHED}, filters: [{{"nocol", "eq", "1", false}}], select: nil]. '
        "Exception: ERROR P0001 (raise_exception) invalid column for filter nocol",
    ),
    (
        {**ROWS, "filter": "attempts=eq.abc"},
        f'{RAISED} [{WATCHED}, filters: [{{"attempts", "eq", "abc", false}}], select: nil]. Exception: ERROR 22P02 '
        '(invalid_text_representation) invalid input syntax for type integer: "abc"',
    ),
    (
        {**ROWS, "select": ["nocol"]},
        f'{RAISED} [{WATCHED}, filters: [], select: ["nocol"]]. '
        "Exception: ERROR P0001 (raise_exception) invalid column for select nocol",
    ),
    (
        {"event": "INSERT"},
        "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: "
        '%{"event" => "INSERT"}',
    ),
]
REFUSED_FILTERS: list[tuple[str, str]] = [
    ("done=is.maybe", "invalid value for is filter: must be null, true, false, or unknown"),
    ("status=is.true", "is true filter requires a boolean column, got text"),
    ("attempts=like.1%", "operator like requires a text-compatible column type, got integer"),
    ("attempts=match.1", "operator match requires a text-compatible column type, got integer"),
    ("status=match.(", "invalid regular expression for match filter: "),
    (f"attempts=in.({','.join('1' * 101)})", "too many values for `in` filter. Maximum 100"),
    ("attempts=in.(1,x)", "invalid input syntax for type integer"),
    ("user_id=eq.me", "invalid input syntax for type uuid"),
    ("note=eq.{}", "operator does not exist: json = json"),
    ("status=eq.a,,status=eq.b", "filter must not contain empty segments"),
]


ROW = "insert into rows (user_id, status, prompt, attempts, done) values ($1, $2, $3, $4, $5)"
MATCH = (OWNER, "queued", "a cat, or two", 3, True)
MISS = ("bbbbbbbb-0000-4000-8000-000000000002", "done", "DOG", 9, None)
MATCHING = [
    f"user_id=eq.{OWNER}",
    "status=neq.done",
    "attempts=lt.4",
    "attempts=lte.3",
    "attempts=not.gt.3",
    "attempts=not.gte.4",
    "status=in.(queued,processing)",
    'status=in.("queued","a,b")',
    "prompt=like.a cat%",
    "prompt=ilike.A CAT%",
    'prompt=eq."a cat, or two"',
    "prompt=match.^a",
    "prompt=imatch.^A CAT",
    "done=is.true",
    "done=not.is.null",
    "attempts=isdistinct.9",
    "attempts=not.isdistinct.3",
    "status=eq.queued,attempts=gt.2",
]


async def test_a_binding_that_cannot_work_is_refused_in_the_real_words(live: Live) -> None:
    async with live.client() as client:
        for number, (binding, message) in enumerate(REFUSED_BINDINGS):
            told = await client.subscribe(f"s{number}", binding)
            name = {"extension": "postgres_changes", "channel": f"s{number}"}
            assert told == {"message": message, "status": "error", **name}


async def test_a_filter_that_could_fail_later_is_refused_at_once(live: Live) -> None:
    async with live.client() as client:
        for given, reason in REFUSED_FILTERS:
            told = await client.subscribe("s1", {**ROWS, "filter": given})
            assert told["status"] == "error"
            assert reason in told["message"]


async def test_a_filter_lets_through_what_postgresql_says(live: Live, written: Written) -> None:
    async with live.client() as client:
        for given in MATCHING:
            assert (await client.subscribe(given, {**ROWS, "filter": given}))["status"] == "ok"
        await written(ROW, *MISS)
        await written(ROW, *MATCH)
        frames = [await client.next() for _ in MATCHING]
        assert await client.silent()
    assert [frame[2] for frame in frames] == [f"realtime:{given}" for given in MATCHING]
    assert {frame[4]["data"]["record"]["attempts"] for frame in frames} == {3}


async def test_null_passes_no_comparison_and_no_negated_one(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.subscribe("f", {**ROWS, "filter": "prompt=not.eq.x"})
        await written("insert into rows (prompt) values (null)")
        await written("insert into rows (prompt) values ('y')")
        assert (await client.change())["record"]["prompt"] == "y"


async def test_a_column_the_log_leaves_out_passes_no_filter(live: Live, written: Written) -> None:
    big = "(select string_agg(md5(n::text), '') from generate_series(1, 500) n)"
    await written(f"insert into rows (big) values ({big})")
    async with live.client() as client:
        await client.subscribe("f", {**ROWS, "filter": "big=is.null"})
        await written("update rows set status = 'x'")
        await written("insert into rows (prompt) values ('no big one')")
        assert (await client.change())["record"]["prompt"] == "no big one"


async def test_a_deletion_passes_a_filter_on_its_key_only(live: Live, written: Written) -> None:
    row = await written("insert into rows (status) values ('queued') returning id::text")
    async with live.client() as by_key, live.client() as by_status:
        await by_key.subscribe("f", {**ROWS, "filter": f"id=eq.{row}"})
        await by_status.subscribe("f", {**ROWS, "filter": "status=eq.queued"})
        await written("delete from rows")
        assert (await by_key.change())["old_record"] == {"id": row}
        await written("insert into rows (status) values ('queued')")
        assert (await by_status.change())["type"] == "INSERT"


async def test_one_bad_binding_takes_the_good_ones_of_its_channel_along(live: Live, written: Written) -> None:
    async with live.client() as client:
        told = await client.subscribe("mix", ROWS, {**ROWS, "table": "nope"})
        assert told["status"] == "error"
        await client.subscribe("good", ROWS)
        await written("insert into rows default values")
        assert (await client.next())[2] == "realtime:good"
        assert await client.silent()


@pytest.mark.parametrize(
    "binding", [{"event": "insert", **ROWS}, {**ROWS, "event": "FOO"}, {"event": "*", "schema": "*"}]
)
async def test_odd_events_and_wildcards_are_accepted(live: Live, written: Written, binding: dict[str, Any]) -> None:
    async with live.client() as client:
        assert (await client.subscribe("a", binding))["status"] == "ok"
        await written("insert into rows default values")
        assert (await client.change())["type"] == "INSERT"


async def test_an_insert_binding_hears_inserts_only(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.subscribe("a", {**ROWS, "event": "INSERT"})
        await written("insert into rows default values")
        await written("update rows set status = 'x'")
        await written("delete from rows")
        await written("insert into rows default values")
        assert [(await client.change())["type"] for _ in range(2)] == ["INSERT", "INSERT"]


async def test_a_row_written_before_the_system_message_is_lost(live: Live, written: Written) -> None:
    live.faults.subscribe_delay_s = 0.05
    async with live.client() as client:
        assert (await client.join("gap", ROWS))["status"] == "ok"
        await written("insert into rows (prompt) values ('in the gap')")
        await client.until("system")
        await written("insert into rows (prompt) values ('after')")
        assert (await client.change())["record"]["prompt"] == "after"


async def test_a_muted_server_answers_heartbeats_and_loses_changes(live: Live, written: Written) -> None:
    async with live.client() as client, live.client() as witness:
        await client.subscribe("a", ROWS)
        live.faults.realtime_muted = True
        await written("insert into rows (prompt) values ('lost')")
        assert (await witness.subscribe("b", ROWS))["status"] == "ok"
        assert await client.silent()
        live.faults.realtime_muted = False
        await written("insert into rows (prompt) values ('heard')")
        assert (await witness.change())["record"]["prompt"] == "heard"
        assert (await client.change())["record"]["prompt"] == "heard"


async def test_a_role_that_requests_cannot_take_cannot_subscribe(live: Live) -> None:
    async with live.client() as client:
        for role, reason in (("postgres", "permission denied to set role"), ("nobody", "does not exist")):
            told = await client.subscribe(role, ROWS, token=live.keys.mint({"role": role}, valid_s=60))
            assert told["status"] == "error"
            assert reason in told["message"]


async def test_a_schema_without_usage_is_refused_to_the_one_who_asks(live: Live, written: Written, tables: Any) -> None:
    await tables.execute("""
        create schema closed;
        create table closed.rows (id int primary key);
        alter publication supabase_realtime add table closed.rows""")
    async with live.client() as client:
        told = await client.subscribe("closed", {"event": "*", "schema": "closed", "table": "rows"})
        assert "ERROR 42501 (insufficient_privilege) permission denied for schema closed" in told["message"]
        assert (await client.subscribe("open", {"event": "*", "schema": "*"}))["status"] == "ok"
        await written("insert into rows default values")
        assert (await client.change())["type"] == "INSERT"

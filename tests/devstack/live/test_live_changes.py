"""A committed change reaches the subscribers who may see it, as the real server would send it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.devstack.live.conftest import OTHER, OWNER, Live

Written = Callable[..., Awaitable[Any]]
ROWS = {"event": "*", "schema": "public", "table": "rows"}
OWNED = {"event": "*", "schema": "public", "table": "owned"}


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_insert_update_and_delete_arrive_in_order_in_the_real_shape(
    live: Live, written: Written, version: str
) -> None:
    async with live.client(version) as client:
        await client.subscribe("t1", ROWS)
        row = await written("insert into rows (prompt, cost) values ('a cat', 12.50) returning id::text")
        await written("update rows set progress = 0.5")
        await written("delete from rows")
        insert, update, delete = [await client.change() for _ in range(3)]
    assert list(insert) == ["table", "type", "record", "columns", "errors", "schema", "commit_timestamp"]
    assert list(update) == [*insert, "old_record"]
    assert list(delete) == ["table", "type", "columns", "errors", "schema", "commit_timestamp", "old_record"]
    assert [each["type"] for each in (insert, update, delete)] == ["INSERT", "UPDATE", "DELETE"]
    assert insert["record"] | {"id": row, "prompt": "a cat", "cost": 12.5, "tags": None} == insert["record"]
    assert update["old_record"] == delete["old_record"] == {"id": row}
    assert update["record"]["progress"] == 0.5
    assert {"name": "tags", "type": "_text"} in insert["columns"]
    assert insert["commit_timestamp"].endswith("Z")
    assert len(insert["commit_timestamp"]) == len("2026-11-20T07:34:16.824Z")
    assert delete["columns"][0] == {"name": "id", "type": "uuid"}
    assert client.frames[-1][:3] == [None, None, "realtime:t1"]


async def test_a_row_of_a_stranger_is_seen_by_nobody_else(live: Live, written: Written) -> None:
    async with live.client() as owner, live.client() as stranger, live.client() as service:
        await owner.subscribe("a", OWNED, token=live.user(OWNER))
        await stranger.subscribe("a", OWNED, token=live.user(OTHER))
        await service.subscribe("a", OWNED, token=live.keys.service_role_key)
        await written("insert into owned (user_id) values ($1)", OWNER)
        assert (await owner.change())["record"]["user_id"] == OWNER
        assert (await service.change())["record"]["user_id"] == OWNER
        await written("update owned set user_id = $1", OTHER)
        assert (await stranger.change())["type"] == "UPDATE"
        await written("delete from owned")
        assert (await stranger.change())["type"] == "DELETE"
        assert (await owner.change())["type"] == "DELETE"


async def test_a_deletion_shows_only_the_key_and_goes_to_everyone(live: Live, written: Written) -> None:
    await written("alter table owned replica identity full")
    await written("insert into owned (user_id) values ($1)", OWNER)
    async with live.client() as anyone:
        await anyone.subscribe("a", OWNED)
        await written("delete from owned")
        assert list((await anyone.change())["old_record"]) == ["id"]


async def test_row_security_judges_the_row_as_it_is_now(live: Live, written: Written, tables: Any) -> None:
    async with live.client() as service:
        await service.subscribe("a", OWNED, token=live.keys.service_role_key)
        async with tables.transaction():
            await tables.execute("insert into owned (user_id) values ($1)", OWNER)
            await tables.execute("delete from owned")
        live.server.kick()
        assert (await service.change())["type"] == "DELETE"


async def test_only_granted_columns_are_shown(live: Live, written: Written) -> None:
    await written("revoke select on rows from anon")
    await written("grant select (id, status) on rows to anon")
    async with live.client() as client:
        await client.subscribe("a", ROWS)
        await written("insert into rows (prompt) values ('secret')")
        change = await client.change()
        assert list(change["record"]) == ["id", "status"]
        assert [column["name"] for column in change["columns"]] == ["id", "status"]
        await written("revoke select on rows from anon")
        await written("revoke select (id, status) on rows from anon")
        await written("update rows set prompt = 'still secret'")
        change = await client.change()
    assert change == {
        "table": "rows",
        "type": "UPDATE",
        "record": {},
        "columns": [],
        "errors": ["Error 401: Unauthorized"],
        "schema": "public",
        "commit_timestamp": None,
        "old_record": {},
    }


async def test_a_table_without_a_key_tells_of_deletions_only(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.subscribe("a", {"event": "*", "schema": "public", "table": "keyless"})
        await written("insert into keyless values (1, 'a')")
        await written("delete from keyless")
        insert, delete = await client.change(), await client.change()
    assert insert["errors"] == ["Error 400: Bad Request, no primary key"]
    assert delete["old_record"] == {"v": "a", "id": 1}


async def test_a_policy_that_raises_takes_the_change_from_everybody_and_tells_nobody(
    live: Live, written: Written
) -> None:
    await written("create policy broken on owned for select to anon using ((1 / 0) = 1)")
    async with live.client() as broken, live.client() as owner:
        await broken.subscribe("a", OWNED)
        await owner.subscribe("a", OWNED, token=live.user(OWNER))
        await written("insert into owned (user_id) values ($1)", OWNER)
        await live.server.caught_up()
        await written("drop policy broken on owned")
        await written("update owned set status = 'seen'")
        assert (await owner.change())["record"]["status"] == "seen"
        assert await broken.silent()


async def test_what_is_not_committed_or_not_published_is_never_sent(live: Live, written: Written, tables: Any) -> None:
    async with live.client() as client:
        await client.subscribe("a", {"event": "*", "schema": "*"})
        transaction = tables.transaction()
        await transaction.start()
        await tables.execute("insert into rows (prompt) values ('rolled back')")
        await transaction.rollback()
        await written("insert into unpublished values (1)")
        await written("truncate rows")
        await written("insert into rows (prompt) values ('the only one')")
        assert (await client.change())["record"]["prompt"] == "the only one"


async def test_rows_of_one_transaction_arrive_together_and_in_order(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.subscribe("a", ROWS)
        await written("insert into rows (prompt, attempts) select 'm', n from generate_series(1, 500) n")
        changes = [await client.change() for _ in range(500)]
    assert [change["record"]["attempts"] for change in changes] == list(range(1, 501))
    assert len({change["commit_timestamp"] for change in changes}) == 1


async def test_a_value_the_update_did_not_touch_is_absent(live: Live, written: Written) -> None:
    big = "(select string_agg(md5(n::text), '') from generate_series(1, 500) n)"
    async with live.client() as client:
        await client.subscribe("a", ROWS)
        await written(f"insert into rows (big) values ({big})")
        await written("update rows set status = 'x'")
        await written("alter table rows replica identity full")
        await written("update rows set status = 'y'")
        changes = [(await client.change()) for _ in range(3)]
    assert ["big" in change["record"] for change in changes] == [True, False, True]
    assert changes[2]["old_record"]["status"] == "x"


async def test_a_record_over_a_mebibyte_comes_without_its_large_and_empty_values(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.subscribe("a", ROWS)
        await written("insert into rows (prompt, big) values ('small', repeat('x', 1100000))")
        change = await client.change()
    assert change["errors"] == ["Error 413: Payload Too Large"]
    assert change["record"].keys() == {"id", "prompt", "status", "attempts", "params", "progress", "created_at"}


async def test_values_look_as_the_real_server_writes_them(live: Live, written: Written, tables: Any) -> None:
    await tables.execute("""
        create type mood as enum ('a', 'b');
        create table typed (id int8 primary key, n numeric, f float8, b bytea, i interval, d date, ts timestamp,
          tz timestamptz, e mood, ua uuid[], ia int[], j json, jb jsonb);
        grant select on typed to anon;
        alter publication supabase_realtime add table typed""")
    async with live.client() as client:
        await client.subscribe("a", {"event": "*", "schema": "public", "table": "typed"})
        await written("""insert into typed values (9007199254740993, 1.25, 'NaN', '\\xdeadbeef', '1 day 02:03',
          '2026-11-20', '2026-11-20 10:00:00.123456', '2026-11-20 10:00:00.123456+02', 'b',
          '{11111111-1111-1111-1111-111111111111}', '{1,null,3}', '{"a": 1.0}', '{"u": "hé"}')""")
        await written("insert into typed (id, tz, n) values (2, 'infinity', 'NaN')")
        first, second = (await client.change())["record"], (await client.change())["record"]
    assert first == {
        "id": 9007199254740993,
        "n": 1.25,
        "f": None,
        "b": "deadbeef",
        "i": "1 day 02:03:00",
        "d": "2026-11-20",
        "ts": "2026-11-20T10:00:00.123456",
        "tz": "2026-11-20T08:00:00.123456+00:00",
        "e": "b",
        "ua": ["11111111-1111-1111-1111-111111111111"],
        "ia": [1, None, 3],
        "j": {"a": 1.0},
        "jb": {"u": "hé"},
    }
    assert list(first) == ["b", "d", "e", "f", "i", "j", "n", "ia", "id", "jb", "ts", "tz", "ua"]
    assert (second["tz"], second["n"]) == ("infinity", None)


async def test_one_frame_names_all_bindings_of_a_channel_that_match(live: Live, written: Written) -> None:
    filtered = {**ROWS, "filter": "status=eq.queued"}
    async with live.client() as client:
        reply = await client.join("two", {**ROWS, "event": "INSERT"}, ROWS, filtered, {**ROWS, "event": "DELETE"})
        ids = [each["id"] for each in reply["response"]["postgres_changes"]]
        await client.until("system")
        await written("insert into rows (prompt) values ('two')")
        payload = await client.until("postgres_changes")
    assert payload["ids"] == [ids[2], ids[1], ids[0]]


async def test_selected_columns_come_with_the_key(live: Live, written: Written) -> None:
    async with live.client() as client:
        await client.subscribe("a", {**ROWS, "select": ["status"]})
        await written("insert into rows (prompt) values ('x')")
        change = await client.change()
    assert list(change["record"]) == ["id", "status"]
    assert [column["name"] for column in change["columns"]] == ["id", "status"]


async def test_publication_columns_and_row_filters_hold(live: Live, written: Written) -> None:
    await written("alter publication supabase_realtime drop table rows")
    await written("alter publication supabase_realtime add table rows (id, status) where (id is not null)")
    async with live.client() as client:
        await client.subscribe("a", ROWS)
        await written("insert into rows (prompt) values ('not published')")
        assert list((await client.change())["record"]) == ["id", "status"]


async def test_the_workers_canary_comes_back_to_its_worker_with_two_columns(live: Live, written: Written) -> None:
    register = "select public.register_worker($1, 'a', array['headshot'], 1, '[]', '0', 10)"
    beat = "select public.heartbeat($1, '[]', '{}')"
    binding = {"event": "UPDATE", "schema": "listener", "table": "workers", "filter": f"id=eq.{OWNER}"}
    async with live.client(token=live.keys.service_role_key) as client, live.client() as anyone:
        assert "permission denied for schema listener" in (await anyone.subscribe("c", binding))["message"]
        for worker in (OTHER, OWNER):
            await written(register, worker)
        assert (await client.subscribe("canary", binding))["status"] == "ok"
        await written(beat, OTHER)
        await written(beat, OWNER)
        change = await client.change()
    assert change["record"].keys() == {"id", "beats"}
    assert (change["record"]["id"], change["errors"]) == (OWNER, None)

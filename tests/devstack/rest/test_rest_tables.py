"""Promises of tables: reading, writing, filters, counts; statuses and bodies as recorded from PostgREST 14.17."""

from __future__ import annotations

from typing import Any

import pytest

from tests.devstack.rest.raw import OTHER, USER, Rest, seed

OBJECT = "application/vnd.pgrst.object+json"
CACHED = "in the schema cache"
FULL = "return=representation"


async def test_an_insert_answers_as_it_was_asked_to(rest: Rest) -> None:
    answer = await rest("POST", "/sessions", {"user_id": USER})
    assert (answer.status_code, answer.text, answer.headers["Content-Range"]) == (201, "", "*/*")
    assert "Preference-Applied" not in answer.headers
    answer = await rest("POST", "/parents", {"name": "h"}, Prefer="return=headers-only")
    assert (answer.status_code, answer.headers["Location"], answer.text) == (201, "/parents?id=eq.3", "")
    answer = await rest("POST", "/parents", {"name": "s"}, Prefer=FULL, Accept=OBJECT)
    assert (answer.status_code, answer.text) == (201, '{"id":4,"name":"s"}')
    assert answer.headers["Content-Type"] == f"{OBJECT}; charset=utf-8"
    answer = await rest("POST", "/sessions?select=status,big,progress", {"progress": 33.3}, Prefer=FULL)
    assert answer.text == '[{"status":"queued","big":9007199254740993,"progress":33.30}]'


async def test_types_come_back_as_postgres_writes_them(rest: Rest) -> None:
    row = {"blob": "\\x00ff", "tags": ["a", "b"], "lease_until": "2026-01-01T00:00:00Z", "params": {"n": 1.5}}
    answer = await rest("POST", "/sessions?select=blob,tags,lease_until,params", row, Prefer=FULL)
    assert answer.text == (
        '[{"blob":"\\\\x00ff","tags":["a","b"],"lease_until":"2026-01-01T00:00:00+00:00","params":{"n": 1.5}}]'
    )


async def test_missing_keys_are_null_unless_defaults_are_asked_for(rest: Rest) -> None:
    rows = [{"user_id": OTHER, "priority": 1}, {"user_id": OTHER}]
    answer = await rest("POST", "/sessions?columns=%22priority%22,%22user_id%22", rows, Prefer=FULL)
    assert (answer.status_code, answer.json()["code"]) == (400, "23502")
    answer = await rest("POST", "/sessions?columns=priority,user_id,id", rows, Prefer=f"{FULL},missing=default")
    assert (answer.status_code, [row["priority"] for row in answer.json()]) == (201, [1, 0])
    assert answer.headers["Preference-Applied"] == "missing=default, return=representation"


async def test_an_upsert_says_whether_anything_was_new(rest: Rest) -> None:
    merge = "resolution=merge-duplicates,return=representation"
    answer = await rest("POST", "/parents?on_conflict=name", {"name": "p1"}, Prefer=merge)
    assert (answer.status_code, answer.text) == (200, '[{"id":1,"name":"p1"}]')
    assert answer.headers["Preference-Applied"] == "resolution=merge-duplicates, return=representation"
    answer = await rest("POST", "/parents?on_conflict=name", [{"name": "p1"}, {"name": "new"}], Prefer=merge)
    assert answer.status_code == 201
    ignore = "resolution=ignore-duplicates,return=representation"
    answer = await rest("POST", "/parents?on_conflict=name", {"name": "p1"}, Prefer=ignore)
    assert (answer.status_code, answer.text) == (201, "[]")


REFUSED_INSERTS: list[tuple[str, Any, int, str, str | None]] = [
    ("/parents", {"name": "p1"}, 409, "23505", 'duplicate key value violates unique constraint "parents_name_key"'),
    ("/sessions", {"parent_id": 999999}, 409, "23503", None),
    ("/sessions", {"priority": 99}, 400, "23514", None),
    ("/sessions", {"id": "zzz"}, 400, "22P02", 'invalid input syntax for type uuid: "zzz"'),
    ("/parents", {"id": 5, "name": "zz"}, 400, "428C9", 'cannot insert a non-DEFAULT value into column "id"'),
    (
        "/sessions",
        {"nope": 1},
        400,
        "PGRST204",
        "Could not find the 'nope' column of 'sessions' in the schema cache",
    ),
    ("/sessions?columns=nope", {"nope": 1}, 400, "PGRST204", None),
    ("/sessions", '{"\\ud800":1}', 400, "PGRST204", None),
    ("/sessions", '{"worker":"\\u0000"}', 400, "22P05", None),
    ("/sessions", '{"worker":NaN}', 400, "PGRST102", None),
    ("/sessions", "{bad", 400, "PGRST102", "Empty or invalid json"),
    ("/sessions", "", 400, "PGRST102", "Empty or invalid json"),
    ("/sessions", [{"priority": 1}, {"worker": "a"}], 400, "PGRST102", "All object keys must match"),
    ("/nope", {"a": 1}, 404, "PGRST205", "Could not find the table 'public.nope' in the schema cache"),
    ("/a/b/c", {"a": 1}, 404, "PGRST125", "Invalid path specified in request URL"),
]


async def test_a_refused_insert_says_why(rest: Rest) -> None:
    for path, body, status, code, message in REFUSED_INSERTS:
        answer = await rest("POST", path, body)
        assert (path, answer.status_code, answer.json()["code"]) == (path, status, code)
        assert set(answer.json()) == {"code", "details", "hint", "message"}
        assert message is None or answer.json()["message"] == message


async def test_an_update_tells_how_many_it_hit(rest: Rest) -> None:
    await seed(rest)
    answer = await rest("PATCH", "/sessions?worker=eq.w1&select=worker,progress", {"progress": 50}, Prefer=FULL)
    assert (answer.status_code, answer.text) == (200, '[{"worker":"w1","progress":50.00}]')
    answer = await rest("PATCH", "/sessions?worker=eq.w1", {"progress": 51})
    assert (answer.status_code, answer.headers["Content-Range"], answer.text) == (204, "0-0/*", "")
    answer = await rest("PATCH", "/sessions?worker=eq.zz", {"progress": 50}, Prefer=FULL)
    assert (answer.status_code, answer.headers["Content-Range"], answer.text) == (200, "*/*", "[]")
    answer = await rest("PATCH", "/sessions?worker=eq.w1", {"progress": 52}, Prefer="return=minimal,count=exact")
    assert (answer.status_code, answer.headers["Content-Range"]) == (204, "0-0/1")
    answer = await rest("PATCH", "/sessions?worker=eq.w1", {}, Prefer=FULL)
    assert (answer.status_code, answer.text) == (200, "[]")


async def test_an_update_that_hits_too_much_changes_nothing(rest: Rest) -> None:
    await seed(rest)
    answer = await rest(
        "PATCH", f"/sessions?user_id=eq.{OTHER}", {"progress": 1}, Prefer="handling=strict,max-affected=1"
    )
    assert (answer.status_code, answer.json()["details"]) == (400, "The query affects 4 rows")
    answer = await rest("PATCH", f"/sessions?user_id=eq.{OTHER}", {"progress": 1}, Prefer=FULL, Accept=OBJECT)
    assert (answer.status_code, answer.json()["code"]) == (406, "PGRST116")
    assert (await rest("GET", "/sessions?progress=not.is.null")).json() == []


async def test_a_delete_answers_with_what_it_deleted(rest: Rest) -> None:
    answer = await rest("DELETE", "/parents?name=eq.p2", Prefer=FULL)
    assert (answer.status_code, answer.text, answer.headers["Content-Range"]) == (200, '[{"id":2,"name":"p2"}]', "*/*")
    answer = await rest("DELETE", "/parents?name=eq.p2")
    assert (answer.status_code, answer.text) == (204, "")


async def test_rows_are_counted_and_paged_as_recorded(rest: Rest) -> None:
    await seed(rest)
    exact = {"Prefer": "count=exact"}
    answer = await rest("GET", "/sessions?select=priority&order=priority.desc&limit=2&offset=1", **exact)
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, "1-2/4")
    assert answer.text == '[{"priority":2}, \n {"priority":1}]'
    assert answer.headers["Content-Location"] == "/sessions?limit=2&offset=1&order=priority.desc&select=priority"
    answer = await rest("HEAD", "/sessions", **exact)
    assert (answer.status_code, answer.headers["Content-Range"], answer.text) == (200, "0-3/4", "")
    answer = await rest("GET", "/sessions?offset=9999", **exact)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "*/4")
    assert answer.json()["details"] == "An offset of 9999 was requested, but there are only 4 rows."
    assert (await rest("GET", "/sessions?offset=9999")).text == "[]"
    answer = await rest("GET", "/sessions?select=priority&order=priority", Range="1-2")
    assert (answer.status_code, answer.headers["Content-Range"]) == (200, "1-2/*")
    assert (await rest("GET", "/sessions?limit=-1")).status_code == 416


REFUSED_READS: list[tuple[str, int, str, str | None]] = [
    ("select=nope", 400, "42703", "column sessions.nope does not exist"),
    ("nope=eq.1", 400, "42703", "column sessions.nope does not exist"),
    ("order=nope.desc", 400, "42703", "column sessions.nope does not exist"),
    ("id=foo.1", 400, "PGRST100", '"failed to parse filter (foo.1)" (line 1, column 1)'),
    ("id=eq.zzz", 400, "22P02", 'invalid input syntax for type uuid: "zzz"'),
    ("created_at=gt.2020-01-01T00:00:00+00:00", 400, "22007", None),
    ("select=id,secret(a)", 400, "PGRST200", None),
    ("select=priority.sum()", 400, "PGRST123", "Use of aggregate functions is not allowed"),
    ("select=worker,n:count()", 400, "PGRST123", "Use of aggregate functions is not allowed"),
    ("or=(priority.eq.1", 400, "PGRST100", None),
    ("order=id.sideways", 400, "PGRST100", None),
]


async def test_what_is_wrong_or_unknown_is_refused(rest: Rest) -> None:
    for query, status, code, message in REFUSED_READS:
        answer = await rest("GET", f"/sessions?{query}")
        assert (query, answer.status_code, answer.json()["code"]) == (query, status, code)
        assert message is None or answer.json()["message"] == message


@pytest.mark.parametrize("name", ['x" = "x"; drop table public.parents; --', "x'; select 1; --", 'a"b', "名"])
async def test_a_name_is_never_more_than_a_name(rest: Rest, name: str) -> None:
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for parameters in ({"select": quoted}, {"order": quoted}, {quoted: "eq.1"}, {"or": f"({quoted}.eq.1)"}):
        answer = await rest.client.get(
            "/sessions", params=parameters, headers={"Authorization": f"Bearer {rest.token('service_role')}"}
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "42703"), answer.text
    assert (await rest("GET", "/parents?select=name")).json() == [{"name": "p1"}, {"name": "p2"}]


async def test_a_value_is_never_more_than_a_value(rest: Rest) -> None:
    value = "p1'; drop table public.parents; --"
    token = {"Authorization": f"Bearer {rest.token('service_role')}"}
    for parameters in ({"name": f"eq.{value}"}, {"name": f'in.("{value}")'}, {"or": f'(name.eq."{value}")'}):
        assert (await rest.client.get("/parents", params=parameters, headers=token)).json() == []
    assert len((await rest("GET", "/parents")).json()) == 2


async def test_a_column_made_a_moment_ago_can_be_written(rest: Rest, connection: Any) -> None:
    assert (await rest("POST", "/parents", {"name": "a", "extra": "x"})).status_code == 400
    await connection.execute("alter table public.parents add column extra text")
    answer = await rest("POST", "/parents?select=name,extra", {"name": "a", "extra": "x"}, Prefer=FULL)
    assert answer.text == '[{"name":"a","extra":"x"}]'
    await connection.execute("alter table public.parents alter column extra type int using 1")
    answer = await rest("GET", "/parents?select=extra&name=eq.a")
    assert answer.text == '[{"extra":1}]'


async def test_accept_and_profile_are_checked(rest: Rest) -> None:
    answer = await rest("GET", "/parents", Accept="text/xml")
    assert (answer.status_code, answer.json()["message"]) == (406, "None of these media types are available: text/xml")
    answer = await rest("GET", "/x", Accept_Profile="listener")
    assert (answer.status_code, answer.json()["code"]) == (406, "PGRST106")
    answer = await rest("GET", "/parents", Prefer="handling=strict,foo=bar")
    assert (answer.status_code, answer.json()["details"]) == (400, "Invalid preferences: foo=bar")

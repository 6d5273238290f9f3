"""Promises of writes beyond the recorded ones: PUT, defaults, limits, what a write without a filter does.

Source: docs.postgrest.org/en/v14/references/api/tables_views.html, .../preferences.html; supabase.com/docs.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.devstack.rest.raw import OTHER, USER, Rest

FULL = "return=representation"
TABLES = """
create table public.rates (name text, year int, value int default 7, primary key (name, year));
create table public.keyless (a int);
create view public.shown as select id, name from public.parents;
create view public.counted as select count(*) from public.parents;
grant all on public.counted, public.rates, public.keyless, public.shown to service_role;
"""


@pytest.fixture
async def tables(rest: Rest, connection: Any) -> Rest:
    await connection.execute(TABLES)
    return rest


async def test_a_put_makes_the_one_row_that_its_url_names(tables: Rest) -> None:
    url, row = "/rates?name=eq.a&year=eq.1", {"name": "a", "year": 1, "value": 5}
    answer = await tables("PUT", url, row, Prefer=FULL)
    assert (answer.status_code, answer.json()) == (201, [row])
    answer = await tables("PUT", url, {**row, "value": 6}, Prefer=FULL)
    assert (answer.status_code, answer.json()) == (200, [{**row, "value": 6}])
    answer = await tables("PUT", url, row)
    assert (answer.status_code, answer.text) == (204, "")
    answer = await tables("PUT", "/rates?name=eq.b&year=eq.1", {"name": "b", "year": 1})
    assert (answer.status_code, answer.text, "Content-Range" in answer.headers) == (204, "", False)


REFUSED_PUTS: list[tuple[str, Any, int, str]] = [
    ("/rates?name=eq.a&year=eq.1", {"name": "b", "year": 1}, 400, "PGRST115"),
    ("/rates?name=eq.a", {"name": "a", "year": 1}, 405, "PGRST105"),
    ("/rates?name=eq.a&year=gt.1", {"name": "a", "year": 1}, 405, "PGRST105"),
    ("/rates?name=eq.a&year=eq.1&value=eq.1", {"name": "a", "year": 1}, 405, "PGRST105"),
    ("/keyless?a=eq.1", {"a": 1}, 405, "PGRST105"),
    ("/rates?name=eq.a&year=eq.1&limit=1", {"name": "a", "year": 1}, 400, "PGRST114"),
]


async def test_a_put_that_names_no_single_row_writes_nothing(tables: Rest) -> None:
    for url, row, status, code in REFUSED_PUTS:
        answer = await tables("PUT", url, row)
        assert (url, answer.status_code, answer.json()["code"]) == (url, status, code)
    assert (await tables("GET", "/rates")).json() == []


async def test_a_write_without_a_filter_is_refused_as_on_a_hosted_project(rest: Rest) -> None:
    for method, verb in (("PATCH", "UPDATE"), ("DELETE", "DELETE")):
        answer = await rest(method, "/parents", {"name": "x"} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()) == (
            400,
            {"code": "21000", "details": None, "hint": None, "message": f"{verb} requires a WHERE clause"},
        )
    assert len((await rest("GET", "/parents")).json()) == 2


async def test_a_page_limits_no_write(rest: Rest) -> None:
    answer = await rest("PATCH", "/parents?id=gt.0&limit=1&offset=1&order=id", {"name": "x"}, Prefer=FULL)
    assert (answer.status_code, answer.json()["code"]) == (409, "23505")
    answer = await rest("DELETE", "/parents?id=gt.0&limit=1", Prefer=f"{FULL},count=exact")
    assert (len(answer.json()), answer.headers["Content-Range"]) == (2, "*/2")


async def test_defaults_fill_in_what_is_missing(tables: Rest) -> None:
    rows = [{"name": "a", "year": 1}, {"name": "b", "year": 1, "value": 1}]
    prefer = f"{FULL},missing=default"
    answer = await tables("POST", "/rates?columns=name,year,value", rows, Prefer=prefer)
    assert [row["value"] for row in answer.json()] == [7, 1]
    answer = await tables("PATCH", "/rates?name=eq.b&columns=value", {}, Prefer=prefer)
    assert answer.json() == [{"name": "b", "year": 1, "value": 7}]


async def test_an_empty_object_is_a_row_of_defaults(rest: Rest) -> None:
    answer = await rest("POST", "/sessions?select=status,priority", {}, Prefer=FULL)
    assert (answer.status_code, answer.json()) == (201, [{"status": "queued", "priority": 0}])


async def test_an_upsert_by_the_key_needs_no_other_word(tables: Rest) -> None:
    rows = [{"name": "a", "year": 1, "value": 1}, {"name": "a", "year": 2, "value": 2}]
    merge = f"resolution=merge-duplicates,{FULL}"
    assert (await tables("POST", "/rates", rows, Prefer=merge)).status_code == 201
    answer = await tables("POST", "/rates?select=value", [{**row, "value": 9} for row in rows], Prefer=merge)
    assert (answer.status_code, answer.text) == (200, '[{"value":9}, \n {"value":9}]')


async def test_options_tell_what_can_be_done(tables: Rest) -> None:
    allowed = {
        "rates": "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE",
        "keyless": "OPTIONS,GET,HEAD,POST,PATCH,DELETE",
        "shown": "OPTIONS,GET,HEAD,POST,PATCH,DELETE",
        "counted": "OPTIONS,GET,HEAD",
        "rpc/f_write": "OPTIONS,POST",
        "rpc/f_who": "OPTIONS,GET,HEAD,POST",
    }
    for path, methods in allowed.items():
        assert (path, (await tables("OPTIONS", f"/{path}")).headers["Allow"]) == (path, methods)


async def test_a_preference_that_means_nothing_here_is_not_echoed(tables: Rest) -> None:
    answer = await tables("POST", "/keyless", {"a": 1}, Prefer="resolution=merge-duplicates,count=estimated")
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (201, "count=estimated")
    assert answer.headers["Content-Range"] == "*/1"


async def test_a_view_can_be_written(tables: Rest) -> None:
    answer = await tables("POST", "/shown", {"name": "seen"}, Prefer=f"{FULL}")
    assert (answer.status_code, answer.json()[0]["name"]) == (201, "seen")


async def test_no_call_hits_more_than_it_may(rest: Rest) -> None:
    strict = "handling=strict,max-affected=2"
    answer = await rest("POST", "/rpc/f_setof_int", {}, Prefer=strict)
    assert (answer.status_code, answer.json()["details"]) == (400, "The query affects 3 rows")
    answer = await rest("POST", "/rpc/f_scalar", {"a": 1}, Prefer=strict)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST128")
    answer = await rest("POST", "/rpc/f_setof_int", {}, Prefer="handling=lenient,max-affected=2")
    assert answer.status_code == 200


async def test_preferences_may_come_in_several_headers_and_wrong_ones_are_left_out(rest: Rest) -> None:
    headers = [("Prefer", "return=representation"), ("Prefer", "count=exact, return=minimal , timezone=Nowhere/At-All")]
    token = ("Authorization", f"Bearer {rest.token('service_role')}")
    key = ("apikey", rest.stack.keys.anon_key)
    answer = await rest.client.post("/parents", json={"name": "n"}, headers=[*headers, token, key])
    assert answer.headers["Preference-Applied"] == "return=representation, count=exact"
    assert (answer.status_code, answer.headers["Content-Range"], answer.json()[0]["name"]) == (201, "*/1", "n")
    answer = await rest("GET", "/parents", Prefer="handling=strict, timezone=Nowhere/At-All, tx=rollback")
    assert (answer.status_code, answer.json()["details"]) == (400, "Invalid preferences: timezone=Nowhere/At-All")


async def test_only_rights_on_what_is_returned_are_needed(rest: Rest, connection: Any) -> None:
    await connection.execute("grant insert on public.parents to authenticated")
    await connection.execute("revoke select on public.parents from authenticated")
    await connection.execute("grant select (id) on public.parents to authenticated")
    answer = await rest("POST", "/parents?select=id", {"name": "n"}, role="authenticated", Prefer=FULL)
    assert (answer.status_code, answer.json()) == (201, [{"id": 3}])
    answer = await rest("POST", "/parents", {"name": "m"}, role="authenticated", Prefer=FULL)
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    assert (await rest("POST", "/parents", {"name": "m"}, role="authenticated")).status_code == 201


async def test_a_merge_hides_no_row_of_another(rest: Rest, connection: Any) -> None:
    await connection.execute("grant update on public.sessions to authenticated")
    answer = await rest("POST", "/sessions?select=id", {"user_id": OTHER}, Prefer=FULL)
    stolen = {"id": answer.json()[0]["id"], "user_id": USER}
    answer = await rest("POST", "/sessions", stolen, role="authenticated", Prefer="resolution=merge-duplicates")
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")

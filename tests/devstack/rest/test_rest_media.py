"""Promises of what bodies may look like: CSV, forms, raw text, answers without nulls.

Source: docs.postgrest.org/en/v14/references/api/media_type_handlers.html, .../resource_representation.html.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.devstack.rest.raw import Rest

FULL = "return=representation"
FUNCTIONS = """
create function public.f_plain(text) returns text language sql as 'select upper($1)';
create function public.f_bytes(bytea) returns int language sql as 'select length($1)';
create function public.f_many_texts(variadic words text[]) returns text language sql as
$$ select array_to_string(words, '-') $$;
create function public.f_named(params jsonb) returns jsonb language sql as 'select params';
create function public.f_one_out(a int, out b int) language sql as 'select a + 1';
create function public.f_setof_parents() returns setof public.parents language sql stable as
'select * from public.parents order by id';
create function public.f_array() returns int[] language sql as 'select array[1, 2]';
create function public.f_nothing() returns public.parents language sql as 'select * from public.parents where false';
create function public.f_default(a int default 1, b text default 'x') returns text language sql as 'select a || b';
create function public."f ""Odd"" name"("Some Arg" int) returns int language sql as 'select $1';
"""


@pytest.fixture
async def functions(rest: Rest, connection: Any) -> Rest:
    await connection.execute(FUNCTIONS)
    return rest


async def test_rows_may_be_read_as_csv(rest: Rest) -> None:
    await rest("POST", "/parents", {"name": 'a "quoted", one'})
    answer = await rest("GET", "/parents?order=id", Accept="text/csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.text == 'id,name\n1,p1\n2,p2\n3,"a ""quoted"", one"'
    answer = await rest("POST", "/rpc/f_table?select=y,x", {}, Accept="text/csv")
    assert answer.text == "y,x\na,1\nb,2"


async def test_rows_may_be_written_as_csv(rest: Rest) -> None:
    text = 'worker,priority,progress\nw1,1,NULL\n"w,2",2,3.5\n'
    answer = await rest("POST", "/sessions?select=worker,priority,progress", text, Content_Type="text/csv", Prefer=FULL)
    assert answer.json() == [
        {"worker": "w1", "priority": 1, "progress": None},
        {"worker": "w,2", "priority": 2, "progress": 3.5},
    ]
    answer = await rest("POST", "/sessions", "a,b\n1\n", Content_Type="text/csv")
    assert (answer.status_code, answer.json()["message"]) == (400, "All lines must have same number of fields")


async def test_a_form_may_be_sent(rest: Rest) -> None:
    form = "application/x-www-form-urlencoded"
    answer = await rest("POST", "/parents?select=name", "name=a+b%26c", Content_Type=form, Prefer=FULL)
    assert answer.json() == [{"name": "a b&c"}]
    assert (await rest("POST", "/rpc/f_scalar", "a=3&b=4", Content_Type=form)).text == "7"


async def test_nulls_may_be_left_out(rest: Rest) -> None:
    await rest("POST", "/sessions", {"worker": "w"})
    query = "/sessions?select=worker,progress"
    stripped = "application/vnd.pgrst.array+json;nulls=stripped"
    answer = await rest("GET", query, Accept=stripped)
    assert (answer.text, answer.headers["Content-Type"]) == ('[{"worker":"w"}]', f"{stripped}; charset=utf-8")
    answer = await rest("GET", query, Accept="application/vnd.pgrst.object+json;nulls=stripped")
    assert answer.text == '{"worker":"w"}'


ACCEPTED = {
    "application/json, text/csv": "application/json",
    "text/xml, text/csv": "text/csv",
    "text/csv, application/json": "text/csv",
    "text/csv;q=0.5, application/json;q=0.9": "application/json",
    "application/vnd.pgrst.array+json": "application/json",
    "text/html, */*": "application/json",
}


async def test_the_first_acceptable_kind_is_answered(rest: Rest) -> None:
    for accept, kind in ACCEPTED.items():
        answer = await rest("GET", "/parents", Accept=accept)
        assert (accept, answer.headers["Content-Type"]) == (accept, f"{kind}; charset=utf-8")
    for accept in ("application/vnd.pgrst.plan+json", "application/geo+json", "image/png"):
        answer = await rest("GET", "/parents", Accept=accept)
        assert (answer.status_code, answer.json()["code"]) == (406, "PGRST107")


CALLS: list[tuple[str, str, Any, dict[str, str], int, str]] = [
    ("POST", "f_plain", "words", {"Content_Type": "text/plain"}, 200, '"WORDS"'),
    ("POST", "f_bytes", b"\x00\xff", {"Content_Type": "application/octet-stream"}, 200, "2"),
    ("GET", "f_many_texts?words=a&words=b", None, {}, 200, '"a-b"'),
    ("POST", "f_many_texts", {"words": ["a", "b"]}, {}, 200, '"a-b"'),
    ("POST", "f_named", {"params": {"a": 1}}, {}, 200, '{"a": 1}'),
    ("POST", "f_one_out", {"a": 1}, {}, 200, '{"b":2}'),
    ("POST", "f_setof_parents?name=eq.p2", {}, {}, 200, '[{"id":2,"name":"p2"}]'),
    ("GET", "f_setof_parents?name=like.p*&order=id.desc&limit=1&select=name", None, {}, 200, '[{"name":"p2"}]'),
    ("GET", "f_setof_parents?id=eq.9", None, {}, 200, "[]"),
    ("POST", "f_array", {}, {}, 200, "[1,2]"),
    ("POST", "f_nothing", {}, {}, 200, '{"id":null,"name":null}'),
    ("GET", "f_default?b=y", None, {}, 200, '"1y"'),
    ("POST", "f_default", {}, {}, 200, '"1x"'),
    ("POST", "f_scalar", [{"a": 1}, {"a": 9}], {}, 200, "6"),
    ("POST", "f%20%22Odd%22%20name", {"Some Arg": 4}, {}, 200, "4"),
    ("GET", "f_arr?ids={11111111-1111-4111-8111-111111111111}", None, {}, 200, "1"),
]


async def test_every_kind_of_argument_and_result_has_its_shape(functions: Rest) -> None:
    for method, call, body, headers, status, text in CALLS:
        answer = await functions(method, f"/rpc/{call}", body, **headers)
        assert (call, answer.status_code, answer.text) == (call, status, text)


async def test_a_raw_body_without_a_function_for_it_is_refused_by_its_type(functions: Rest) -> None:
    answer = await functions("POST", "/rpc/f_scalar", "x", Content_Type="text/plain")
    assert (answer.status_code, answer.json()) == (
        404,
        {
            "code": "PGRST202",
            "details": "Searched for the function public.f_scalar with a single unnamed text parameter,"
            " but no matches were found in the schema cache.",
            "hint": None,
            "message": "Could not find the function public.f_scalar in the schema cache",
        },
    )
    # A function without arguments does not take it either.
    assert (await functions("POST", "/rpc/f_null", "x", Content_Type="text/plain")).status_code == 404
    answer = await functions("POST", "/parents", "x", Content_Type="text/plain")
    assert (answer.status_code, answer.json()["message"]) == (400, "Content-Type not acceptable: text/plain")

"""Promises of rpc; statuses and bodies as recorded from PostgREST 14.17."""

from __future__ import annotations

from typing import Any

from tests.devstack.rest.raw import Rest

SEARCHED = "or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache."


RESULTS: list[tuple[str, Any, int, str]] = [
    ("f_scalar", {"a": 1}, 200, "6"),
    ("f_scalar", {"a": 1, "b": 2}, 200, "3"),
    ("f_null", {}, 200, "null"),
    ("f_void", {}, 204, ""),
    ("f_json", {}, 200, '{"n": 1.50, "ok": true}'),
    ("f_text", {}, 200, '"héllo"'),
    ("f_row", {}, 200, '{"id":1,"name":"p1"}'),
    ("f_table", {}, 200, '[{"x":1,"y":"a"}, \n {"x":2,"y":"b"}]'),
    ("f_table?x=eq.2&select=y", {}, 200, '[{"y":"b"}]'),
    ("f_table?order=x.desc&limit=1", {}, 200, '[{"x":2,"y":"b"}]'),
    ("f_table?x=gt.9", {}, 200, "[]"),
    ("f_out", {"a": 2}, 200, '{"b":2,"c":4}'),
    ("f_setof_int", {}, 200, "[1, 2, 3]"),
    ("f_arr", {"ids": ["11111111-1111-4111-8111-111111111111"]}, 200, "1"),
    ("f_body", {"any": [1, 2]}, 200, '{"any": [1, 2]}'),
    ("f_void", None, 204, ""),
]


async def test_every_kind_of_result_has_its_shape(rest: Rest) -> None:
    for name, arguments, status, body in RESULTS:
        answer = await rest("POST", f"/rpc/{name}", arguments)
        assert (name, answer.status_code, answer.text) == (name, status, body)


async def test_arguments_may_stand_in_the_url(rest: Rest) -> None:
    answer = await rest("GET", "/rpc/f_scalar?a=4")
    assert (answer.status_code, answer.text, answer.headers["Content-Range"]) == (200, "9", "0-0/*")


UNKNOWN: list[tuple[str, Any, str, str, str | None]] = [
    ("nope", {"a": 1}, "nope(a)", "nope with parameter a", None),
    ("f_scaler", {"a": 1}, "f_scaler(a)", "f_scaler with parameter a", "f_scalar"),
    ("f_scalar", {"zz": 1}, "f_scalar(zz)", "f_scalar with parameter zz", None),
    ("f_scalar", {"a": 1, "zz": 1}, "f_scalar(a, zz)", "f_scalar with parameters a, zz", "f_scalar(a, b)"),
    ("f_scalar", {"b": 1}, "f_scalar(b)", "f_scalar with parameter b", "f_scalar(a, b)"),
    ("f_fresh", {}, "f_fresh without parameters", "f_fresh without parameters", None),
]


async def test_an_unknown_function_is_named_with_its_arguments(rest: Rest) -> None:
    for name, arguments, shown, searched, hint in UNKNOWN:
        answer = await rest("POST", f"/rpc/{name}", arguments)
        assert answer.status_code == 404
        assert answer.headers["Proxy-Status"] == "PostgREST; error=PGRST202"
        assert answer.json() == {
            "code": "PGRST202",
            "details": f"Searched for the function public.{searched} {SEARCHED}",
            "hint": None if hint is None else f"Perhaps you meant to call the function public.{hint}",
            "message": f"Could not find the function public.{shown} in the schema cache",
        }


async def test_an_ambiguous_call_names_the_candidates(rest: Rest) -> None:
    answer = await rest("POST", "/rpc/f_over", {"a": 1})
    assert answer.status_code == 300
    assert answer.json()["code"] == "PGRST203"
    assert answer.json()["message"] == (
        "Could not choose the best candidate function between: public.f_over(a => integer), public.f_over(a => text)"
    )


STATUSES = {
    "P0001": 400,
    "PT402": 402,
    "PT409": 409,
    "PT503": 503,
    "PT200": 200,
    "AB123": 400,
    "22023": 400,
    "23505": 409,
    "42501": 403,
    "55P03": 500,
    "57014": 500,
    "P0002": 500,
    "XX000": 500,
    "08006": 503,
    "53300": 503,
    "28000": 403,
    "2201X": 400,
}


async def test_each_sqlstate_has_its_status(rest: Rest) -> None:
    for code, status in STATUSES.items():
        arguments = {"code": code, "msg": "boom", "det": "the detail", "hnt": "the hint"}
        answer = await rest("POST", "/rpc/f_raise", arguments)
        assert (code, answer.status_code) == (code, status)
        assert answer.json() == {"code": code, "details": "the detail", "hint": "the hint", "message": "boom"}
        assert answer.headers.get("Retry-After") == ("0" if status == 503 else None)


async def test_sql_may_word_the_whole_answer(rest: Rest) -> None:
    message = '{"code": "credits", "message": "no credits", "details": "d", "hint": "h"}'
    detail = '{"status": 402, "status_text": "Pay Up", "headers": {"X-Made": "yes", "Retry-After": "7"}}'
    answer = await rest("POST", "/rpc/f_raise", {"code": "PGRST", "msg": message, "det": detail})
    assert (answer.status_code, answer.reason_phrase) == (402, "Pay Up")
    assert answer.json() == {"code": "credits", "details": "d", "hint": "h", "message": "no credits"}
    assert (answer.headers["Retry-After"], answer.headers["X-Made"]) == ("7", "yes")


async def test_a_message_cannot_add_headers(rest: Rest) -> None:
    answer = await rest("POST", "/rpc/f_raise", {"code": "PT402", "msg": "a\r\nX-Injected: yes"})
    assert answer.status_code == 402
    assert "X-Injected" not in answer.headers
    detail = '{"status": 402, "headers": {"X-Made": "yes\\r\\nX-Injected: yes"}}'
    answer = await rest("POST", "/rpc/f_raise", {"code": "PGRST", "msg": '{"code":"a","message":"b"}', "det": detail})
    assert answer.status_code == 500
    assert "X-Injected" not in answer.headers


async def test_sql_may_set_status_and_headers_of_success(rest: Rest) -> None:
    answer = await rest("POST", "/rpc/f_status", {"s": "202"})
    assert (answer.status_code, answer.text, answer.headers["X-Made"]) == (202, '"body"', "here")
    answer = await rest("POST", "/rpc/f_status", {"s": "zzz"})
    assert (answer.status_code, answer.json()["code"]) == (500, "PGRST112")


async def test_sql_may_set_one_header_several_times_and_replace_one_of_the_server(rest: Rest, connection: Any) -> None:
    made = '[{"Set-Cookie":"a=1"},{"Set-Cookie":"b=2"},{"content-type":"text/x-made"}]'
    await connection.execute(
        "create function public.f_cookies() returns text language plpgsql as $$ begin"
        f" perform set_config('response.headers', '{made}', true); return 'x'; end $$"
    )
    answer = await rest("POST", "/rpc/f_cookies", {})
    assert answer.headers.get_list("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers.get_list("Content-Type") == ["text/x-made"]


async def test_a_get_and_a_stable_function_cannot_write(rest: Rest) -> None:
    for method, name in (("GET", "f_write"), ("POST", "f_says_stable")):
        answer = await rest(method, f"/rpc/{name}", {} if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (405, "25006")
    assert (await rest("POST", "/rpc/f_write", {})).text == "1"


async def test_one_object_is_refused_when_there_are_three(rest: Rest) -> None:
    answer = await rest("POST", "/rpc/f_setof_int", {}, Accept="application/vnd.pgrst.object+json")
    assert (answer.status_code, answer.json()["details"]) == (406, "The result contains 3 rows")


async def test_more_than_a_thousand_rows_are_cut_and_counted(rest: Rest) -> None:
    answer = await rest("POST", "/rpc/f_many", {}, Prefer="count=exact")
    assert (answer.status_code, answer.headers["Content-Range"], len(answer.json())) == (206, "0-999/1500", 1000)


async def test_sql_sees_who_called_and_how(rest: Rest) -> None:
    answer = await rest("POST", "/rpc/f_who", {}, role="authenticated", X_Label="here", Prefer="timezone=Europe/Moscow")
    who = answer.json()
    assert who["claims"]["sub"] == "11111111-1111-4111-8111-111111111111"
    assert {name: who[name] for name in who if name != "claims"} == {
        "user": "authenticated",
        "session_user": "authenticator",
        "method": "POST",
        "path": "/rpc/f_who",
        "label": "here",
        "timeout": "8s",
        "read_only": "on",
        "search_path": '"public", "public", "extensions"',
        "timezone": "Europe/Moscow",
    }
    assert answer.headers["Preference-Applied"] == "timezone=Europe/Moscow"


async def test_nothing_of_one_caller_is_left_for_the_next(rest: Rest) -> None:
    await rest("POST", "/rpc/f_who", {}, role="authenticated")
    who = (await rest("POST", "/rpc/f_who", {}, role=None)).json()
    assert (who["user"], who["claims"].get("sub"), who["timeout"]) == ("anon", None, "3s")


async def test_a_slow_call_of_anon_ends_at_its_timeout(rest: Rest) -> None:
    answer = await rest("POST", "/rpc/f_sleep", {"s": 4}, role="anon")
    assert (answer.status_code, answer.json()["message"]) == (500, "canceling statement due to statement timeout")


async def test_a_broken_connection_is_said_and_the_next_call_works(rest: Rest) -> None:
    answer = await rest("POST", "/rpc/f_die", {})
    assert (answer.status_code, answer.json()["code"]) == (503, "PGRST001")
    assert (await rest("POST", "/rpc/f_scalar", {"a": 1})).text == "6"


async def test_a_function_made_a_moment_ago_is_found(rest: Rest, connection: Any) -> None:
    assert (await rest("POST", "/rpc/f_scalar", {"a": 1, "b": 2, "c": 3})).status_code == 404
    await connection.execute(
        "create function public.f_scalar(a int, b int, c int) returns int language sql as 'select 7'"
    )
    assert (await rest("POST", "/rpc/f_scalar", {"a": 1, "b": 2, "c": 3})).text == "7"
    await connection.execute("drop function public.f_scalar(int, int, int)")
    assert (await rest("POST", "/rpc/f_scalar", {"a": 1, "b": 2, "c": 3})).status_code == 404


async def test_put_is_no_way_to_call(rest: Rest) -> None:
    answer = await rest("PUT", "/rpc/f_scalar", {"a": 1})
    assert (answer.status_code, answer.json()["message"]) == (405, "Cannot use the PUT method on RPC")

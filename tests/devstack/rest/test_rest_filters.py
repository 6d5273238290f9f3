"""Promises of the query language: filters, trees of them, orders, columns and what they are called.

Source: docs.postgrest.org/en/v14/references/api/tables_views.html.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.devstack.rest.raw import Rest, seed

FILTERS = {
    "priority=eq.2": [2],
    "priority=neq.2": [0, 1, 3],
    "priority=lt.1": [0],
    "priority=lte.1": [0, 1],
    "priority=gt.2": [3],
    "priority=gte.2": [2, 3],
    "priority=not.eq.2": [0, 1, 3],
    "worker=like.w*": [0, 1, 2, 3],
    "worker=like.*1": [1],
    "worker=ilike.W2": [2],
    "worker=like(any).{*1,*3}": [1, 3],
    "worker=match.^w[12]$": [1, 2],
    "worker=in.(w1,w3)": [1, 3],
    'worker=in.("w1","a,b","c\\"d","(e)")': [1],
    "worker=not.in.(w1,w3)": [0, 2],
    "worker=in.()": [],
    "lease_until=is.null": [0, 1, 2, 3],
    "lease_until=not.is.null": [],
    "status=eq.queued": [0, 1, 2, 3],
    "status=in.(failed,completed)": [],
    "created_at=lt.2020-01-01T00:00:00Z": [],
    "or=(priority.eq.0,worker.eq.w3)": [0, 3],
    "or=(priority.eq.0,and(priority.gt.1,worker.neq.w3))": [0, 2],
    "and=(priority.gte.1,not.or(worker.eq.w1,worker.in.(w2,w9)))": [3],
    "not.or=(priority.eq.0,priority.eq.1)": [2, 3],
    "priority=gte.1&worker=neq.w2": [1, 3],
    "tags=cs.{}": [0, 1, 2, 3],
    "tags=ov.{a}": [],
    "params->>none=is.null": [0, 1, 2, 3],
    "worker=isdistinct.w1": [0, 2, 3],
    "priority=eq(any).{1,3}": [1, 3],
    "priority=gt(all).{0,1}": [2, 3],
    "worker=not.ilike(all).{W*,*2}": [0, 1, 3],
    "worker=imatch.^W2$": [2],
    "lease_until=is.not_null": [],
    "lease_until=not.is.not_null": [0, 1, 2, 3],
    "worker=fts.w1": [1],
    "worker=plfts(simple).W3": [3],
    "worker=wfts(english).w1 or w2": [1, 2],
    "worker=not.phfts.w1": [0, 2, 3],
    "params=fts.anything": [],
    "or=(worker.fts(simple).w0,priority.eq.3)": [0, 3],
    'or=(worker.eq."w0",worker.in.("w1",w2))': [0, 1, 2],
    "or=(tags.cs.{a,b},priority.lt.1)": [0],
    "not.and=(priority.gte.1,priority.lte.2)": [0, 3],
    "params->a->>0=is.null": [0, 1, 2, 3],
    "params->>a=eq.x&priority=eq.1": [],
    "priority=eq.1&apikey=anything": [1],
    "": [0, 1, 2, 3],
}


async def test_each_filter_finds_what_it_says(rest: Rest) -> None:
    await seed(rest)
    found: dict[str, list[int]] = {}
    for query in FILTERS:
        answer = await rest("GET", f"/sessions?select=priority&order=priority&{query}")
        assert answer.status_code == 200, (query, answer.text)
        found[query] = [row["priority"] for row in answer.json()]
    assert found == FILTERS


async def test_select_renames_casts_and_reaches_into_json(rest: Rest) -> None:
    await rest("POST", "/sessions", {"params": {"a": {"b": [1, 2]}, "prompt": "x"}, "priority": 7})
    query = "select=n:priority::text,params->>prompt,deep:params->a->b->0&params->a->b=eq.[1,2]&params->>prompt=eq.x"
    assert (await rest("GET", f"/sessions?{query}")).text == '[{"n":"7","prompt":"x","deep":1}]'


RANGES = {
    "span=cs.[2,3)": [1],
    "span=cd.[0,99]": [1, 2],
    "span=ov.[4,6)": [1, 2],
    "span=sl.[6,7)": [1],
    "span=sr.[0,1)": [1, 2],
    "span=nxr.[0,5)": [1],
    "span=nxl.[3,4)": [2],
    "span=adj.[9,12)": [2],
    "words=fts(english).fox": [1],
    "code=eq.ab": [1],
    "short=eq.longer than it": [],
    "even=eq.3": [],
}


async def test_ranges_vectors_domains_and_lengths_are_filtered_as_what_they_are(rest: Rest, connection: Any) -> None:
    await connection.execute(
        "create domain public.even as int check (value % 2 = 0);"
        "create table public.odd_types"
        " (id int, span int4range, words tsvector, code char(5), short varchar(3), even even);"
        "insert into public.odd_types values (1, '[1,5)', to_tsvector('english', 'quick foxes'), 'ab', 'abc', 2),"
        " (2, '[4,9)', '', 'cd', null, 4);"
        "grant all on public.odd_types to service_role"
    )
    found = {}
    for query in RANGES:
        answer = await rest("GET", f"/odd_types?select=id&order=id&{query}")
        found[query] = [row["id"] for row in answer.json()] if answer.status_code == 200 else answer.text
    assert found == RANGES


ORDERS = {
    "order=lease_until.desc,priority": [1, 3, 2, 0],
    "order=lease_until.desc.nullslast,priority.desc": [2, 0, 3, 1],
    "order=lease_until.nullsfirst,priority": [1, 3, 0, 2],
    "order=params->n.desc.nullslast,priority": [3, 0, 1, 2],
    "order=priority.desc&limit=2": [3, 2],
    "order=priority&offset=3": [3],
    "order=": [0, 1, 2, 3],
}


async def test_rows_come_in_the_order_that_is_asked_for(rest: Rest) -> None:
    await seed(rest)
    for worker in ("w0", "w2"):
        when = f"2026-01-0{1 + int(worker[1])}T00:00:00Z"
        await rest("PATCH", f"/sessions?worker=eq.{worker}", {"lease_until": when})
    await rest("PATCH", "/sessions?worker=eq.w3", {"params": {"n": 5}})
    found = {}
    for query in ORDERS:
        found[query] = [row["priority"] for row in (await rest("GET", f"/sessions?{query}")).json()]
    found["order="] = sorted(found["order="])
    assert found == ORDERS


async def test_a_function_of_a_row_is_a_column_and_rows_can_be_counted(rest: Rest, connection: Any) -> None:
    await connection.execute(
        "create function public.shout(public.parents) returns text language sql stable as 'select upper($1.name)';"
        "grant execute on function public.shout to service_role"
    )
    answer = await rest("GET", "/parents?select=id,shout&shout=eq.P2")
    assert answer.text == '[{"id":2,"shout":"P2"}]'
    assert (await rest("GET", "/parents?select=count")).text == '[{"count":2}]'
    await rest("POST", "/sessions", [{"parent_id": 1}, {"parent_id": 1}])
    answer = await rest("GET", "/parents?select=id,sessions(count)&order=id")
    assert answer.json() == [{"id": 1, "sessions": [{"count": 2}]}, {"id": 2, "sessions": [{"count": 0}]}]


@pytest.mark.parametrize(
    "query", ["select=id,", "select=id:", "select=(id)", "order=id.asc.asc", "or=()", "or=(a.b)", "a=eq", "select=a!b"]
)
async def test_what_is_no_sentence_of_the_language_is_refused(rest: Rest, query: str) -> None:
    answer = await rest("GET", f"/parents?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST100")
    assert answer.json()["message"].startswith('"failed to parse')

"""Promises of related tables in one request: shapes, filters and orders inside, and what is refused.

Source: docs.postgrest.org/en/v14/references/api/resource_embedding.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.devstack.rest.raw import Rest

FULL = "return=representation"


@pytest.fixture
async def related(rest: Rest, connection: asyncpg.Connection[asyncpg.Record]) -> Rest:
    await connection.execute(Path(__file__).with_name("embedding.sql").read_text())
    return rest


SHAPES: list[tuple[str, str, Any]] = [
    (
        "one row where the key stands here",
        "projects?select=name,clients(name)&order=id&limit=2",
        [{"name": "engine", "clients": {"name": "Ada"}}, {"name": "notes", "clients": {"name": "Ada"}}],
    ),
    ("null where there is none", "projects?select=id,clients(*)&id=eq.4", [{"id": 4, "clients": None}]),
    (
        "an array where the key stands there",
        "clients?select=id,projects(id)&order=id",
        [{"id": 1, "projects": [{"id": 1}, {"id": 2}]}, {"id": 2, "projects": [{"id": 3}]}, {"id": 3, "projects": []}],
    ),
    (
        "an array across a table between",
        "projects?select=id,workers(name)&id=in.(1,2)&order=id&workers.order=name.desc",
        [{"id": 1, "workers": [{"name": "Lee"}, {"name": "Kim"}]}, {"id": 2, "workers": []}],
    ),
    (
        "one row where the key is unique, from both sides",
        "projects?select=id,budgets(cents,projects(name))&id=eq.1",
        [{"id": 1, "budgets": {"cents": 500, "projects": {"name": "engine"}}}],
    ),
    (
        "under another name, with a way into JSON and a cast inside",
        "clients?select=what:projects(y:details->year,no:id::text)&id=eq.1&what.limit=1&what.order=id",
        [{"what": [{"y": 1843, "no": "1"}]}],
    ),
    (
        "columns spread beside the others",
        "projects?select=id,...clients(client:name)&order=id&limit=1",
        [{"id": 1, "client": "Ada"}],
    ),
    (
        "arrays of columns where many rows are spread",
        "clients?select=id,...projects(project:name)&order=id&projects.order=id",
        [{"id": 1, "project": ["engine", "notes"]}, {"id": 2, "project": ["tune"]}, {"id": 3, "project": []}],
    ),
    (
        "by the column that leads there",
        "trips?select=start:start_id(name),end:end_id(name)",
        [{"start": {"name": "here"}, "end": {"name": "there"}}],
    ),
    (
        "by the constraint that leads there",
        "places?select=name,trips!trips_end(id)&order=id",
        [{"name": "here", "trips": []}, {"name": "there", "trips": [{"id": 1}]}],
    ),
    (
        "of the same table, in both directions",
        "folders?select=id,parent_id(id),folders(id)&order=id&limit=2&folders.order=id",
        [
            {"id": 1, "parent_id": None, "folders": [{"id": 2}, {"id": 3}]},
            {"id": 2, "parent_id": {"id": 1}, "folders": []},
        ],
    ),
    (
        "four tables deep",
        "clients?select=name,projects(name,workers(name,projects(id)))&id=eq.2",
        [
            {
                "name": "Bob",
                "projects": [{"name": "tune", "workers": [{"name": "Lee", "projects": [{"id": 1}, {"id": 3}]}]}],
            }
        ],
    ),
    (
        "by a function of the row",
        "clients?select=id,latest(name),namesakes(id)&id=lt.3&namesakes.order=id",
        [
            {"id": 1, "latest": {"name": "notes"}, "namesakes": [{"id": 1}, {"id": 2}]},
            {"id": 2, "latest": {"name": "tune"}, "namesakes": [{"id": 3}]},
        ],
    ),
    (
        "of the rows that a function returns",
        "rpc/some_projects?select=id,clients(name)&order=id",
        [{"id": 1, "clients": {"name": "Ada"}}, {"id": 2, "clients": {"name": "Ada"}}],
    ),
]


@pytest.mark.parametrize(("query", "rows"), [shape[1:] for shape in SHAPES], ids=[shape[0] for shape in SHAPES])
async def test_a_related_table_is_shown_as(related: Rest, query: str, rows: Any) -> None:
    answer = await related("GET", f"/{query}")
    assert (answer.status_code, answer.json()) == (200, rows), answer.text


FILTERED: list[tuple[str, str, list[int]]] = [
    ("a filter inside leaves the rows outside", "clients?select=id,projects(id)&projects.id=eq.3", [1, 2, 3]),
    ("inner leaves only rows that have any", "clients?select=id,projects!inner(id)", [1, 2]),
    ("inner with a filter inside", "clients?select=id,projects!inner(id)&projects.name=eq.tune", [2]),
    ("inner of one row", "projects?select=id,clients!inner(id)&clients.name=eq.Ada", [1, 2]),
    ("inner without showing it", "clients?select=id,projects!inner()&projects.name=eq.tune", [2]),
    ("rows that have none", "clients?select=id,projects()&projects=is.null", [3]),
    ("rows that have any", "clients?select=id,projects()&projects=not.is.null", [1, 2]),
    (
        "one of both has any",
        "projects?select=id,clients(),budgets()&or=(clients.not.is.null,budgets.is.null)",
        [1, 2, 3, 4],
    ),
    ("a tree inside", "clients?select=id,projects!inner()&projects.or=(id.eq.3,name.eq.notes)", [1, 2]),
    ("inner, two tables deep", "clients?select=id,projects!inner(workers!inner())&projects.workers.name=eq.Kim", [1]),
    (
        "an order by the related row",
        "projects?select=id,clients(name)&order=clients(name).desc.nullslast,id",
        [3, 1, 2, 4],
    ),
]


@pytest.mark.parametrize(("query", "ids"), [one[1:] for one in FILTERED], ids=[one[0] for one in FILTERED])
async def test_rows_are_chosen_by_what_is_related(related: Rest, query: str, ids: list[int]) -> None:
    answer = await related("GET", f"/{query}{'' if 'order=' in query else '&order=id'}", Prefer="count=exact")
    assert answer.status_code == 200, answer.text
    assert [row["id"] for row in answer.json()] == ids
    assert answer.headers["Content-Range"] == f"0-{len(ids) - 1}/{len(ids)}"


async def test_a_write_answers_with_what_is_related(related: Rest) -> None:
    row = {"id": 9, "name": "new", "client_id": 2}
    answer = await related("POST", "/projects?select=name,clients(name)", row, Prefer=FULL)
    assert (answer.status_code, answer.json()) == (201, [{"name": "new", "clients": {"name": "Bob"}}])
    answer = await related("PATCH", "/projects?id=eq.9&select=*,clients(id)", {"client_id": 1}, Prefer=FULL)
    assert answer.json() == [{"id": 9, "name": "new", "client_id": 1, "details": None, "clients": {"id": 1}}]
    answer = await related("PATCH", "/clients?id=eq.1&select=latest(id)", {"name": "A."}, Prefer=FULL)
    assert answer.json() == [{"latest": {"id": 9}}]
    answer = await related("DELETE", "/projects?id=eq.9&select=clients(id)", Prefer=FULL)
    assert answer.json() == [{"clients": {"id": 1}}]


REFUSED: list[tuple[str, int, str, str, str | None]] = [
    (
        "folders?select=folders!id(*)",
        400,
        "PGRST200",
        "Could not find a relationship between 'folders' and 'folders' in the schema cache",
        None,
    ),
    (
        "places?select=places(*)",
        400,
        "PGRST200",
        "Could not find a relationship between 'places' and 'places' in the schema cache",
        None,
    ),
    (
        "projects?select=places(*)",
        400,
        "PGRST200",
        "Could not find a relationship between 'projects' and 'places' in the schema cache",
        None,
    ),
    (
        "projects?select=client(*)",
        400,
        "PGRST200",
        "Could not find a relationship between 'projects' and 'client' in the schema cache",
        "Perhaps you meant 'clients' instead of 'client'.",
    ),
    (
        "trips?select=places(*)",
        300,
        "PGRST201",
        "Could not embed because more than one relationship was found for 'trips' and 'places'",
        "Try changing 'places' to one of the following: 'places!trips_end', 'places!trips_start'."
        " Find the desired relationship in the 'details' key.",
    ),
    (
        "projects?clients.name=eq.Ada",
        400,
        "PGRST108",
        "'clients' is not an embedded resource in this request",
        "Verify that 'clients' is included in the 'select' query parameter.",
    ),
    (
        "clients?select=*,projects(*)&order=projects(name)",
        400,
        "PGRST118",
        "A related order on 'projects' is not possible",
        None,
    ),
    (
        "clients?select=*,projects(*)&projects=eq.1",
        400,
        "PGRST120",
        "Bad operator on the 'projects' embedded resource",
        None,
    ),
    ("projects?select=clients(zzz)", 400, "42703", "column clients_1.zzz does not exist", None),
]


@pytest.mark.parametrize(("query", "said"), [(one[0], one[1:]) for one in REFUSED], ids=[one[2] for one in REFUSED])
async def test_what_is_not_related_is_refused(
    related: Rest, query: str, said: tuple[int, str, str, str | None]
) -> None:
    answer = await related("GET", f"/{query}")
    body = answer.json()
    assert (answer.status_code, body["code"], body["message"], body["hint"]) == said


async def test_an_ambiguous_way_is_told_in_full(related: Rest) -> None:
    answer = await related("GET", "/trips?select=places(*)")
    assert answer.json()["details"][0] == {
        "cardinality": "many-to-one",
        "embedding": "trips with places",
        "relationship": "trips_end using trips(end_id) and places(id)",
    }


async def test_nobody_sees_related_rows_that_are_not_his(related: Rest, connection: Any) -> None:
    await connection.execute("grant select on public.clients, public.projects, public.trips to authenticated")
    await connection.execute("alter table public.projects enable row level security")
    answer = await related("GET", "/clients?select=id,projects(id)&id=eq.1", role="authenticated")
    assert answer.json() == [{"id": 1, "projects": []}]
    answer = await related("GET", "/trips?select=id,start_id(name)", role="authenticated")
    assert (answer.status_code, answer.json()["message"]) == (403, "permission denied for table places")


async def test_a_foreign_key_made_a_moment_ago_leads_somewhere(related: Rest, connection: Any) -> None:
    assert (await related("GET", "/budgets?select=places(name)")).status_code == 400
    await connection.execute("alter table public.budgets add column place_id int references public.places (id)")
    answer = await related("GET", "/budgets?select=places(name)&limit=1")
    assert (answer.status_code, answer.json()) == (200, [{"places": None}])

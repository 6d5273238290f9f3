"""The list of a caller's sessions over real sockets, on a real database: all of his, once each, and nobody else's."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from tests.sql import avatars, tryon
from tests.sql.project import Held, Project
from tests.support.avatars import Guest, Stage
from tests.support.stores import COAT, Answer, StoreCaller

LIST = "/api/sessions"
TABLES = {
    "store_id": ("store_generation_sessions", "store_avatar_sessions"),
    "user_id": ("generation_sessions", "avatar_sessions", "headshot_sessions", "generation_jobs"),
}


async def fill(project: Project, guest: Guest) -> None:
    """Nine sessions of two kinds: four were made in one moment, and two in two tables in another."""
    column = "store_id" if isinstance(guest, StoreCaller) else "user_id"
    generations, clips = (f"public.{table}" for table in TABLES[column][:2])
    await project.grant(guest.id, 10)
    for generated, spoken in ((1, 0), (0, 2), (4, 0), (1, 1)):
        async with project.acting("service_role") as connection:
            if generated:
                await tryon.put(connection, generations, generated, {column: guest.id})
            for _ in range(spoken):
                await avatars.put(connection, clips, **{column: guest.id})


async def stored(project: Project, guest: Guest) -> list[str]:
    """The ids of his rows as the database orders them."""
    column = "store_id" if isinstance(guest, StoreCaller) else "user_id"
    every = " union all ".join(f"select id, created_at, {column} as owner from public.{one}" for one in TABLES[column])
    rows = await project.rows(
        f"select id from ({every}) as one where owner = $1 order by created_at desc, id desc", guest.id
    )
    return [str(row["id"]) for row in rows]


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [one["id"] for one in answer.data["sessions"]]


async def pages(guest: Guest, limit: int, more: str = "") -> list[list[str]]:
    """Every page of his list."""
    found, after = list[list[str]](), ""
    while True:
        answer = await guest.ask("GET", f"{LIST}?limit={limit}{more}{after}")
        found.append(ids(answer))
        if answer.data["next"] is None:
            return found
        after = f"&after={answer.data['next']}"


async def test_every_caller_pages_through_all_of_his_own_and_sees_nobody_elses(stage: Stage, project: Project) -> None:
    guests = [await stage.store(), await stage.store(), await stage.visitor(), await stage.visitor()]
    for guest in guests:
        assert (await guest.ask("GET", LIST)).data == {"sessions": [], "next": None}
        await fill(project, guest)
    for guest in guests:
        own = await stored(project, guest)
        assert len(own) == 9
        assert await pages(guest, 100) == [own]
        for limit in (1, 2, 3, 9):
            told = await pages(guest, limit)
            assert [one for page in told for one in page] == own, "ties are neither lost nor told twice"
            full, rest = divmod(9, limit)
            assert [len(page) for page in told] == [limit] * full + [rest] * (rest > 0)


async def test_what_arrives_while_somebody_reads_is_in_none_of_the_pages_to_come(
    stage: Stage, project: Project
) -> None:
    shop = await stage.store()
    await fill(project, shop)
    own = await stored(project, shop)
    first = await shop.get(f"{LIST}?limit=4")
    new = (await shop.submit(COAT)).data["id"]
    second = await shop.get(f"{LIST}?limit=4&after={first.data['next']}")
    third = await shop.get(f"{LIST}?limit=4&after={second.data['next']}")
    assert [*ids(first), *ids(second), *ids(third)] == own
    assert third.data["next"] is None
    assert ids(await shop.get(f"{LIST}?limit=1")) == [new]


async def test_a_session_has_the_facts_that_reading_it_has_and_nothing_that_opens_it(
    stage: Stage, project: Project
) -> None:
    shop = await stage.store()
    for task in ("done", "failed", "waits"):
        assert (await shop.submit({**COAT, "task_id": task, "request_id": f"r-{task}"})).status == 201
    for held in await tryon.take(project, 2):
        await end(project, held)
    shown = await shop.get(LIST)
    assert [one["status"] for one in shown.data["sessions"]] == ["queued", "failed", "completed"]
    for one in shown.data["sessions"]:
        assert one == closed((await shop.get(f"{LIST}/{one['id']}")).data)
    assert shown.data["sessions"][2]["result"] == {"seed": 7, "images": [{"seed": 7}], "artifacts": [FILE]}
    assert shown.data["sessions"][1]["error"]["code"] == "OUT_OF_MEMORY"
    assert "signed" not in json.dumps(shown.body)
    assert "generated/" not in json.dumps(shown.body)


FILE = {"name": "image.jpg", "width": 96, "height": 128, "size_bytes": 9, "content_type": "image/jpeg"}


async def end(project: Project, held: Held) -> None:
    """Complete the task `done` as a worker does, and fail the other."""
    row = (await project.rows("select task_id from public.store_generation_sessions where id = $1", held.row))[0]
    if row["task_id"] == "failed":
        failed = await project.settle(
            "fail_sessions", held, code="out_of_memory", message="Too large.", details={"mib": 3}
        )
        assert failed == ("applied", None)
        return
    path = f"{uuid4()}/generated/{held.session}.jpg"
    url = "https://signed.example/old"
    artifact = held.item(**FILE, bucket="stores", path=path, url=url)
    assert await project.outcomes("add_artifacts", held.worker, artifact) == [("applied", None)]
    result = {"seed": 7, "image_url": url, "image_path": path, "expires_at": "2026-11-20T10:00:00Z"}
    result["images"] = [{"seed": 7, "path": path}]
    assert await project.settle("complete_sessions", held, result=result) == ("applied", None)


def closed(session: Mapping[str, Any]) -> dict[str, Any]:
    """A session that was read, without what opens its files."""
    result = session["result"]
    if result is None:
        return dict(session)
    kept = {name: value for name, value in result.items() if name not in ("image_url", "expires_at")}
    kept["images"] = [{"seed": one["seed"]} for one in result["images"]]
    kept["artifacts"] = [{name: one[name] for name in FILE} for one in result["artifacts"]]
    return {**session, "result": kept}


async def test_a_list_can_be_of_one_kind_and_one_state(stage: Stage, project: Project) -> None:
    shop, ada = await stage.store(), await stage.visitor()
    for guest in (shop, ada):
        await fill(project, guest)
        own = await stored(project, guest)
        clips = ids(await guest.ask("GET", f"{LIST}?kind=avatar"))
        assert (len(clips), set(clips) < set(own)) == (3, True)
        assert await pages(guest, 2, "&kind=avatar") == [clips[:2], clips[2:]]
        assert ids(await guest.ask("GET", f"{LIST}?status=completed")) == []
        assert ids(await guest.ask("GET", f"{LIST}?status=queued")) == own
    cancelled = ids(await shop.get(f"{LIST}?kind=tryon&limit=1"))
    assert (await shop.cancel(cancelled[0])).status == 200
    assert ids(await shop.get(f"{LIST}?status=cancelled")) == cancelled
    assert ids(await shop.get(f"{LIST}?status=cancelled&kind=avatar")) == []
    assert len(ids(await shop.get(f"{LIST}?status=queued"))) == 8


FAR = base64.urlsafe_b64encode(b"\x7f" * 24).decode()
WRONG = {
    "kind=headshot": [("kind", "give one of avatar, tryon, or leave it out")],
    "kind=": [("kind", "give one of avatar, tryon, or leave it out")],
    "status=done": [("status", "give 'queued', 'processing', 'completed', 'failed' or 'cancelled'")],
    "limit=0": [("limit", "give at least 1")],
    "limit=101": [("limit", "give at most 100")],
    "limit=many": [("limit", "give a whole number")],
    "after=nonsense": [("after", "give what `next` said, as it was, or leave it out for the newest")],
    f"after={FAR}": [("after", "give what `next` said, as it was, or leave it out for the newest")],
    "after=": [("after", "give what `next` said, as it was, or leave it out for the newest")],
    "offset=20": [("offset", "leave this field out")],
    "a-name%00=1": [("?", "leave this field out")],
    "limit=1&limit=1": [("limit", "give it once")],
    "kind=poem&page=2&limit=0": [
        ("kind", "give one of avatar, tryon, or leave it out"),
        ("limit", "give at least 1"),
        ("page", "leave this field out"),
    ],
}


async def test_a_parameter_that_cannot_be_used_is_named_with_what_to_give_instead(stage: Stage) -> None:
    shop = await stage.store()
    for query, told in WRONG.items():
        answer = await shop.get(f"{LIST}?{query}")
        assert (answer.status, answer.code) == (400, "INVALID_QUERY"), query
        fields = answer.body["error"]["details"]["fields"]
        assert [(one["field"], one["remedy"]) for one in fields] == told, query
        assert "RateLimit-Remaining" in answer.headers
        for value in ("headshot", "done", "many", "nonsense", "poem", FAR):
            assert value not in json.dumps(answer.body)
    ada = await stage.visitor()
    wrong = await ada.ask("GET", f"{LIST}?kind=poem")
    assert "avatar, headshot, pack, tryon" in wrong.body["error"]["details"]["fields"][0]["remedy"]


async def test_it_has_the_manners_of_every_endpoint(stage: Stage) -> None:
    shop, ada = await stage.store(per_minute=2), await stage.visitor()
    named = await shop.ask("GET", LIST, {"X-Request-Id": "shop-42"})
    assert (named.headers["X-Request-Id"], named.body["meta"]) == ("shop-42", {"request_id": "shop-42"})
    assert (named.headers["RateLimit-Limit"], named.headers["RateLimit-Remaining"]) == ("2", "1")
    assert (await shop.get(f"{LIST}?limit=0")).headers["RateLimit-Remaining"] == "0"
    limited = await shop.get(LIST)
    assert (limited.status, limited.code) == (429, "RATE_LIMITED")
    assert int(limited.headers["Retry-After"]) > 0
    assert "RateLimit-Limit" not in (await ada.ask("GET", LIST)).headers
    for method in ("POST", "PUT", "DELETE"):
        refused = await ada.ask(method, LIST)
        assert (refused.status, refused.code) == (405, "METHOD_NOT_ALLOWED")
        assert {*refused.headers["Allow"].split(",")} == {"GET", "HEAD"}
    for token, code in (("", "API_KEY_MISSING"), ("lsk_" + "A" * 43, "API_KEY_INVALID"), ("a.b.c", "TOKEN_INVALID")):
        stranger = await ada.ask("GET", LIST, {"Authorization": f"Bearer {token}"})
        assert (stranger.status, stranger.code) == (401, code)
        assert stranger.headers["WWW-Authenticate"] == "Bearer"


async def test_an_app_s_own_tables_are_listed_as_far_as_they_can_be(
    stage: Stage, connection: asyncpg.Connection[Any]
) -> None:
    ada, eve = await stage.visitor(), await stage.visitor()
    own: dict[UUID, list[str]] = {}
    for guest in (ada, eve):
        made = await guest.client.table("headshot_sessions").insert([{"prompt": "a face"}] * 2).execute()
        await guest.client.table("avatar_sessions").insert(avatars.INPUTS).execute()
        own[guest.id] = sorted(str(row["id"]) for row in made.data if isinstance(row, dict))
    await connection.execute(
        "create policy all_read on public.headshot_sessions for select to authenticated using (true)"
    )
    assert len((await ada.client.table("headshot_sessions").select("id").execute()).data) == 4
    for guest in (ada, eve):
        assert sorted(ids(await guest.ask("GET", f"{LIST}?kind=headshot"))) == own[guest.id], "a policy may be wider"
    await connection.execute("revoke select on public.avatar_sessions from authenticated")
    assert sorted(ids(await ada.ask("GET", LIST))) == own[ada.id], "what he may not read is left out"
    await connection.execute("alter table public.headshot_sessions alter column created_at drop not null")
    await connection.execute("update public.headshot_sessions set created_at = null where id = $1", own[ada.id][0])
    assert ids(await ada.ask("GET", LIST)) == [own[ada.id][1]], "what has no moment has no place"


ADOPTED = """
create table public.bare_sessions (
  id uuid primary key default gen_random_uuid(), user_id uuid not null default auth.uid()
);
create table public.plain_sessions (like public.bare_sessions including all, created_at timestamp default '2020-01-01');
create schema hidden;
grant usage on schema hidden to authenticated, service_role;
create table hidden.sessions (like public.bare_sessions including all, created_at timestamptz default now());
alter table public.bare_sessions enable row level security;
alter table public.plain_sessions enable row level security;
alter table hidden.sessions enable row level security;
create policy own_reads on public.plain_sessions for select to authenticated using ((select auth.uid()) = user_id);
create policy own_inserts on public.plain_sessions for insert to authenticated with check (true);
select listener.watch('public.bare_sessions', kind => 'bare');
select listener.watch('public.plain_sessions', kind => 'plain');
select listener.watch('hidden.sessions', kind => 'hidden');
notify pgrst, 'reload schema';
"""


async def test_a_table_that_was_adopted_is_listed_when_it_says_when_its_rows_were_made(
    stage: Stage, connection: asyncpg.Connection[Any]
) -> None:
    await connection.execute(ADOPTED)
    ada = await stage.visitor()
    newer = (await ada.client.table("avatar_sessions").insert(avatars.INPUTS).execute()).data
    older = (await ada.client.table("plain_sessions").insert({}).execute()).data
    own = [str(row["id"]) for row in [*newer, *older] if isinstance(row, dict)]
    assert await pages(ada, 1) == [own[:1], own[1:]], "a moment without a zone is one of UTC"
    assert ids(await ada.ask("GET", f"{LIST}?kind=hidden")) == [], "its schema is none of the API's"
    assert (await ada.ask("GET", f"{LIST}?kind=bare")).code == "INVALID_QUERY"

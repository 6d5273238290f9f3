"""Tables that apps had before, each of another shape: every way of a session shows in their own columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.adopted import held, shown, watch
from tests.sql.project import Held, Project


@dataclass(frozen=True)
class App:
    """An app's table, how it is watched, and what its users insert."""

    table: str
    made: str
    watched: dict[str, Any]
    inserts: dict[str, Any]
    owner: str = "user_id"
    kind: str = "portrait"
    columns: dict[str, str] = field(default_factory=dict)

    def named(self, column: str) -> str:
        """Our state column's name in this table."""
        return self.columns.get(column, column)


def secured(table: str, owner: str = "user_id") -> str:
    return f"""
    alter table {table} enable row level security;
    create policy own_rows on {table} for all to authenticated
    using ((select auth.uid()) = {owner}) with check ((select auth.uid()) = {owner});
    grant select, insert, update, delete on {table} to anon, authenticated, service_role;
    """


RENDERS = App(
    # Own words for everything, short types, timestamps without a zone, inputs that must be there, a touch trigger.
    table="public.renders",
    made="""
    create table public.renders (
      render_id uuid primary key default gen_random_uuid(),
      user_id uuid not null,
      state varchar(20) not null default 'queued'
        check (state in ('draft', 'queued', 'processing', 'completed', 'failed', 'cancelled')),
      percent smallint not null default 0 check (percent between 0 and 100),
      output text,
      revision integer not null default 1,
      begun timestamp,
      completed_at timestamp check (completed_at is null or completed_at >= begun),
      touched timestamptz not null default now(),
      scene text not null,
      quality integer not null default 3,
      constraint scene_is_named check (scene <> '')
    );
    create function public.touch() returns trigger language plpgsql set search_path = '' as
    $$ begin new.touched := now(); return new; end $$;
    create trigger touch before update on public.renders for each row execute function public.touch();
    """
    + secured("public.renders"),
    watched={
        "columns": {
            "status": "state",
            "progress": "percent",
            "result": "output",
            "version": "revision",
            "started_at": "begun",
            "finished_at": "completed_at",
            "updated_at": "touched",
            "error_details": None,
            "message": None,
        }
    },
    inserts={"scene": "a beach"},
    columns={
        "id": "render_id",
        "status": "state",
        "progress": "percent",
        "result": "output",
        "version": "revision",
        "started_at": "begun",
        "finished_at": "completed_at",
    },
)
STORES = App(
    # Another schema; the store pays, and its staff may read by a policy of the app's own.
    table="shop.store_portrait_sessions",
    made="""
    create schema shop;
    grant usage on schema shop to authenticated;
    create table shop.staff (store_id uuid not null, user_id uuid not null, primary key (store_id, user_id));
    grant select on shop.staff to authenticated;
    create table shop.store_portrait_sessions (
      id uuid primary key,
      store_id uuid not null,
      "Prompt" text,
      status text not null default 'queued' constraint known check (status = any (array[
        'queued', 'processing', 'completed', 'failed', 'cancelled']))
    );
    alter table shop.store_portrait_sessions enable row level security;
    create policy staff_reads on shop.store_portrait_sessions for select to authenticated using (
      exists (select from shop.staff where staff.store_id = store_portrait_sessions.store_id
        and staff.user_id = (select auth.uid())));
    """,
    watched={"owner_column": "store_id", "insert_columns": []},
    inserts={"id": None, "Prompt": "a hat"},
    owner="store_id",
)
JOBS = App(
    # Packs of an app of its own, in the shape of REQUIREMENTS P9.
    table="public.render_jobs",
    made="""
    create table public.figures (id uuid primary key default gen_random_uuid(), user_id uuid not null);
    create table public.render_jobs (
      id uuid primary key default gen_random_uuid(),
      character_id uuid not null references public.figures,
      user_id uuid not null,
      status text not null default 'queued',
      image_count integer not null check (image_count between 5 and 10),
      completed_count integer not null default 0 check (completed_count <= image_count),
      error_message text,
      started_at timestamptz,
      completed_at timestamptz
    );
    create table public.figure_images (
      id uuid primary key default gen_random_uuid(),
      job_id uuid not null references public.render_jobs on delete cascade
    );
    insert into public.figures (id, user_id) values ('00000000-0000-0000-0000-000000000009', gen_random_uuid());
    """
    + secured("public.render_jobs"),
    watched={"columns": {"finished_at": "completed_at"}},
    inserts={"character_id": UUID(int=9), "image_count": 5},
    kind="figures",
    columns={"finished_at": "completed_at"},
)
TRYON = App(
    # The try-on sessions of REQUIREMENTS W1 and W2; their `version` is the payload's and stays the app's.
    table="public.portrait_sessions",
    made="""
    create table public.portrait_sessions (
      id uuid primary key default gen_random_uuid(),
      user_id uuid not null,
      task_id text unique,
      channel text not null default 'b2c' check (channel = 'b2c'),
      image_urls text[] not null,
      prompt text,
      request_id text,
      version integer not null default 1,
      created_at timestamptz not null default now()
    );
    """
    + secured("public.portrait_sessions"),
    watched={"columns": {"version": "state_version"}, "max_attempts": 2, "time_limit_s": 300},
    inserts={"image_urls": ["https://a/b.jpg"], "task_id": "t-1"},
    columns={"version": "state_version"},
)
APPS = [pytest.param(app, id=app.table) for app in (RENDERS, STORES, JOBS, TRYON)]


async def adopt(project: Project, app: App) -> None:
    await project.connection.execute(app.made)
    await watch(project, app.table, **{"kind": app.kind, "max_attempts": 2, **app.watched})


async def insert(project: Project, app: App, owner: UUID) -> UUID:
    fields = {app.owner: owner, **app.inserts}
    if "id" in fields:
        fields["id"] = uuid4()
    if "task_id" in fields:
        fields["task_id"] = str(uuid4())
    names = ", ".join(f'"{name}"' for name in fields)
    values = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
    role = "service_role" if app.owner == "store_id" else "authenticated"
    async with project.acting(role, owner) as connection:
        row: UUID = await connection.fetchval(
            f"insert into {app.table} ({names}) values ({values}) returning {app.named('id')}", *fields.values()
        )
    return row


async def state(project: Project, app: App, row: UUID) -> tuple[str, int]:
    (found,) = await project.rows(f"select * from {app.table} where {app.named('id')} = $1", row)
    return found[app.named("status")], found[app.named("progress")]


async def begun(project: Project, app: App, owner: UUID) -> Held:
    await insert(project, app, owner)
    return await held(project, app.kind)


@pytest.mark.parametrize("app", APPS)
async def test_a_session_completes_in_the_tables_own_columns(project: Project, owner: UUID, app: App) -> None:
    await adopt(project, app)
    row = await insert(project, app, owner)
    assert await state(project, app, row) == ("queued", 0)
    attempt = await held(project, app.kind)
    assert attempt.row == row
    assert await state(project, app, row) == ("processing", 0)
    await project.settle("report_progress", attempt, done=1, total=4, note="drawing")
    assert await state(project, app, row) == ("processing", 25)
    artifact = {
        "name": "image",
        "bucket": "generated",
        "path": f"{owner}/{row}.png",
        "size_bytes": 9,
        "content_type": "image/png",
    }
    await project.settle("add_artifacts", attempt, **artifact)
    await project.settle("complete_sessions", attempt, result={"seed": 7})
    (found,) = await project.rows(f"select * from {app.table}")
    assert (found[app.named("status")], found[app.named("progress")]) == ("completed", 100)
    result = found[app.named("result")]
    assert "image/png" in str(result)
    assert found[app.named("version")] >= 4
    assert found[app.named("finished_at")] >= found[app.named("started_at")]
    assert await project.balance(owner) == 9


@pytest.mark.parametrize("app", APPS)
async def test_a_failure_is_told_and_refunded(project: Project, owner: UUID, app: App) -> None:
    await adopt(project, app)
    attempt = await begun(project, app, owner)
    await project.settle("fail_sessions", attempt, code="content_rejected", message="Please choose another picture.")
    (found,) = await project.rows(f"select * from {app.table}")
    assert found[app.named("status")] == "failed"
    assert found["error_message"] == "Please choose another picture."
    assert found["error_code"] == "content_rejected"
    assert await project.balance(owner) == 10


@pytest.mark.parametrize("app", APPS)
async def test_a_retry_is_queued_again_and_the_last_one_is_refunded(project: Project, owner: UUID, app: App) -> None:
    await adopt(project, app)
    attempt = await begun(project, app, owner)
    await project.settle("retry_sessions", attempt, code="provider_busy", delay_s=0)
    assert await state(project, app, attempt.row) == ("queued", 0)
    again = await held(project, app.kind, attempt.worker)
    assert (again.row, again.attempt) == (attempt.row, 2)
    await project.settle("retry_sessions", again, code="provider_busy", delay_s=0)
    assert (await state(project, app, attempt.row))[0] == "failed"
    assert await project.balance(owner) == 10


@pytest.mark.parametrize("app", APPS)
async def test_a_cancel_and_a_delete_give_the_credits_back(project: Project, owner: UUID, app: App) -> None:
    await adopt(project, app)
    cancelled, deleted = await insert(project, app, owner), await insert(project, app, owner)
    async with project.acting("authenticated", owner) as connection:
        answer = await connection.fetchval("select public.cancel_session($1)", cancelled)
    assert answer["outcome"] == "cancelled"
    assert (await state(project, app, cancelled))[0] == "cancelled"
    await project.connection.execute(f"delete from {app.table} where {app.named('id')} = $1", deleted)
    assert await project.balance(owner) == 10


@pytest.mark.parametrize("app", APPS)
async def test_the_handler_gets_the_inputs_and_no_state(project: Project, owner: UUID, app: App) -> None:
    await adopt(project, app)
    attempt = await begun(project, app, owner)
    params = (await project.session(attempt))["params"]
    assert set(app.inserts) - {"id"} < set(params)
    assert not {app.named(name) for name in ("status", "progress", "result", "finished_at")} & set(params)


@pytest.mark.parametrize("app", APPS)
async def test_users_can_write_no_state_of_any_of_them(project: Project, owner: UUID, app: App) -> None:
    await adopt(project, app)
    row = await insert(project, app, owner)
    for column in (app.named("id"), app.owner, *(app.named(name) for name in ("status", "result", "version"))):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting("authenticated", owner) as connection:
                await connection.execute(f"update {app.table} set {column} = null where {app.named('id')} = $1", row)


async def test_the_payloads_own_version_is_left_alone(project: Project, owner: UUID) -> None:
    await adopt(project, TRYON)
    attempt = await begun(project, TRYON, owner)
    found = await shown(project, attempt.row)
    assert (found["version"], found["state_version"]) == (1, 1)
    assert (await project.session(attempt))["params"]["version"] == 1


async def test_drafts_are_no_sessions(project: Project, owner: UUID) -> None:
    await adopt(project, RENDERS)
    async with project.acting("service_role") as connection:
        await connection.execute(
            "insert into public.renders (user_id, scene, state) values ($1, 'a hill', 'draft')", owner
        )
    assert await project.value("select count(*) from listener.sessions") == 0


async def test_a_stores_staff_see_its_rows_and_others_nothing(project: Project) -> None:
    await adopt(project, STORES)
    store, member = uuid4(), uuid4()
    await project.connection.execute("insert into shop.staff values ($1, $2)", store, member)
    await insert(project, STORES, store)
    for user, seen in ((member, 1), (uuid4(), 0)):
        async with project.acting("authenticated", user) as connection:
            assert await connection.fetchval("select count(*) from shop.store_portrait_sessions") == seen


async def test_all_four_shapes_live_side_by_side(project: Project, owner: UUID) -> None:
    for app in (RENDERS, STORES, JOBS, TRYON):
        await adopt(project, app)
        await insert(project, app, owner)
    await project.insert(owner)
    kinds = ["figures", "headshot", "portrait"]
    worker = await project.worker(kinds=kinds)
    claimed = await project.claim(worker, 10, uuid4(), *kinds)
    assert sorted(row["kind"] for row in claimed) == ["figures", "headshot", "portrait", "portrait", "portrait"]
    items = [Held(worker, row["session"], row["attempt"], row["row_id"]).item(result={}) for row in claimed]
    assert await project.outcomes("complete_sessions", worker, *items) == [("applied", None)] * 5
    for app in (RENDERS, STORES, JOBS, TRYON):
        assert await project.value(f"select {app.named('status')} from {app.table}") == "completed"

"""What cannot be watched: refused by name, with what was found and what to do, and nothing is left changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sql.adopted import PLAIN, TABLE, refusal, watch
from tests.sql.project import Project

ROOT = Path(__file__).parents[2]
NO_REFUSALS = {"service_role", "user_id", "was_broken", "information_schema", "supabase_realtime"}
T = "public.portrait_sessions"
FUNCTION = "create function public.judge() returns trigger language plpgsql as $$ begin {body} end $$;"
TRIGGER = f"create trigger judge {{when}} on {T} for each row execute function public.judge();"
NO_TERMINAL_EXIT = "if old.status = 'completed' then raise 'too late'; end if; return new;"

ON_SHAPE = {
    "composite_primary_key": f"alter table {T} drop constraint portrait_sessions_pkey, add primary key (id, user_id)",
    "no_primary_key": f"alter table {T} drop constraint portrait_sessions_pkey",
    "primary_key_is_not_uuid": f"alter table {T} drop column id; alter table {T} add id bigserial primary key",
    "owner_column_missing": f"alter table {T} drop column user_id cascade",
    "owner_column_is_not_uuid": (
        f"drop policy owner_reads on {T}; drop policy owner_inserts on {T}; alter table {T} alter user_id type text"
    ),
    "generated_state_column": f"alter table {T} add progress integer generated always as (7) stored",
    "enum_state_column": f"create type public.phase as enum ('queued'); alter table {T} add status public.phase",
    "version_may_be_null": f"alter table {T} add version integer",
    "rls_off": f"alter table {T} disable row level security",
    "inherited_table": f"create table public.child () inherits ({T})",
    "table_is_not_permanent": f"alter table {T} set unlogged",
    "table_with_rules": f"create rule quiet as on update to {T} do instead nothing",
    "unique_index_over_state": (
        f"alter table {T} add status text default 'queued'; "
        f"create unique index one_at_a_time on {T} (user_id) where status = 'processing'"
    ),
    "subscriber_without_usage": f"create schema hidden; alter table {T} set schema hidden",
    "publication_missing": "drop publication supabase_realtime",
    "publication_is_partial": "alter publication supabase_realtime set (publish = 'insert')",
    "published_in_part": f"alter publication supabase_realtime add table {T} (id, prompt)",
}
ON_STATES = {
    "a check without cancelled": (
        f"alter table {T} add status text default 'queued' "
        "check (status in ('queued', 'processing', 'completed', 'failed'))",
        "cancelled",
        "portrait_sessions_status_check",
    ),
    "a check that ties a state to a column of the app": (
        f"alter table {T} add url text, add status text default 'queued', "
        "add constraint done_has_url check (status <> 'completed' or url is not null)",
        "completed",
        "done_has_url",
    ),
    "a status that is too short": (f"alter table {T} add status varchar(9) default 'queued'", "started", "too long"),
    "a message that is too short": (f"alter table {T} add message varchar(100)", "running", "too long"),
    "a message that may not be null": (
        f"alter table {T} add message text not null default ''",
        "queued",
        "null value",
    ),
    "a progress up to one": (f"alter table {T} add progress real check (progress <= 1)", "running", "progress_check"),
    "a result of another type": (f"alter table {T} add result integer", "queued", "result"),
    "a domain": (
        "create domain public.mood as text default 'queued' check (value <> 'failed');"
        f"alter table {T} add status public.mood",
        "failed",
        "mood_check",
    ),
    "a status that starts elsewhere": (
        f"alter table {T} add status text default 'pending'",
        "pending",
        "set that default",
    ),
    "a status without a default": (f"alter table {T} add status text", "NULL", "set that default"),
    "a padded status": (f"alter table {T} add status char(20) default 'queued'", "arrives as", "queued  "),
    "no replica identity": (f"alter table {T} replica identity nothing", "queued", "replica identity"),
    "a trigger that rejects": (
        FUNCTION.format(body="raise 'not while I am here';") + TRIGGER.format(when="before update"),
        "queued",
        "not while I am here",
    ),
    "a trigger that swallows": (
        FUNCTION.format(body="return null;") + TRIGGER.format(when="before update"),
        "queued",
        "swallows it",
    ),
    "a trigger that corrects": (
        f"alter table {T} add status text default 'queued';"
        + FUNCTION.format(body="if new.status = 'failed' then new.status := 'error'; end if; return new;")
        + TRIGGER.format(when="before update"),
        "failed",
        "something changes it to error",
    ),
    "a deferred trigger": (
        FUNCTION.format(body="raise 'afterwards';")
        + TRIGGER.format(when="after update")
        .replace("create trigger", "create constraint trigger")
        .replace(" for each row", " deferrable initially deferred for each row"),
        "queued",
        "afterwards",
    ),
    "a trigger for workers alone": (
        FUNCTION.format(body="if current_user = 'service_role' then raise 'no workers'; end if; return new;")
        + TRIGGER.format(when="before update"),
        "as service_role",
        "no workers",
    ),
    "a trigger for the owner alone": (
        FUNCTION.format(body="if current_user <> 'service_role' then raise 'only workers'; end if; return new;")
        + TRIGGER.format(when="before update"),
        "(as ",
        "only workers",
    ),
}


@pytest.fixture(autouse=True)
async def table(project: Project) -> None:
    """An app's own table, which users may read."""
    await project.connection.execute(f"{PLAIN} grant select on {T} to authenticated;")


async def footprint(project: Project) -> list[Any]:
    return await project.rows(
        """
        select 'column' as what, attname::text as name from pg_attribute
        where attrelid = to_regclass('public.portrait_sessions') and attnum > 0 and not attisdropped
        union all select 'trigger', tgname from pg_trigger where tgrelid = to_regclass('public.portrait_sessions')
        union all select 'kind', kind from listener.kinds
        union all select 'table', relation::text from listener.session_tables
        union all select 'published', tablename from pg_publication_tables
        union all select 'acl', relacl::text from pg_class where oid = to_regclass('public.portrait_sessions')
        order by 1, 2
        """
    )


@pytest.mark.parametrize("name", ON_SHAPE)
async def test_a_table_of_the_wrong_shape_is_refused_by_name(project: Project, name: str) -> None:
    await project.connection.execute(ON_SHAPE[name])
    before = await footprint(project)
    refused = await refusal(project, "hidden.portrait_sessions" if name == "subscriber_without_usage" else TABLE)
    assert f"cannot be watched: {name}" in str(refused)
    assert await footprint(project) == before


@pytest.mark.parametrize("case", ON_STATES)
async def test_a_table_that_refuses_a_state_is_refused_with_the_state_and_the_reason(
    project: Project, case: str
) -> None:
    statements, state, reason = ON_STATES[case]
    await project.connection.execute(statements)
    before = await footprint(project)
    refused = await refusal(project)
    assert "cannot be watched: state_refused" in str(refused)
    assert state in str(refused.detail)
    assert reason in str(refused.detail)
    assert await footprint(project) == before


@pytest.mark.parametrize(
    ("made", "relation", "name"),
    [
        (f"create view public.seen as select * from {T}", "public.seen", "not_a_table"),
        ("create materialized view public.seen as select 1", "public.seen", "not_a_table"),
        ("create table public.parts (id uuid primary key) partition by hash (id)", "public.parts", "partitioned_table"),
        (
            "create table public.parts (id uuid primary key) partition by hash (id);"
            "create table public.part partition of public.parts for values with (modulus 1, remainder 0)",
            "public.part",
            "partitioned_table",
        ),
        (f"create table public.heir () inherits ({T})", "public.heir", "inherited_table"),
        ("create temp table passing (id uuid primary key)", "passing", "table_is_not_permanent"),
        ("select 1", "listener.workers", "reserved_schema"),
        ("select 1", "pg_catalog.pg_class", "reserved_schema"),
        ("select 1", "public.headshot_sessions", "already_watched"),
    ],
)
async def test_what_is_no_ordinary_table_is_refused(project: Project, made: str, relation: str, name: str) -> None:
    await project.connection.execute(made)
    assert name in str(await refusal(project, relation))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"owner_column": "store_id"}, "owner_column_missing"),
        ({"owner_column": "prompt"}, "owner_column_is_not_uuid"),
        ({"id_column": "user_id"}, "id_column_is_not_the_key"),
        ({"columns": {"state": "status"}}, "unknown_state_column"),
        ({"columns": {"status": None}}, "status_or_version_left_out"),
        ({"columns": {"version": None}}, "status_or_version_left_out"),
        ({"columns": {"message": "prompt", "error_message": "prompt"}}, "column_used_twice"),
        ({"columns": {"status": "user_id"}}, "column_used_twice"),
        ({"columns": {"status": "id"}}, "column_used_twice"),
        ({"kind": "Try On"}, "kind_is_not_a_word"),
        ({"kind": None}, "kind_is_not_a_word"),
        ({"credits": -1}, "credits_out_of_range"),
        ({"credits": None}, "credits_out_of_range"),
        ({"max_attempts": 0}, "max_attempts_out_of_range"),
        ({"time_limit_s": 0}, "time_limit_out_of_range"),
        ({"bucket": "nowhere"}, "bucket_missing"),
        ({"kind": "headshot", "max_attempts": 9}, "kind_has_another_policy"),
        ({"kind": "headshot", "time_limit_s": 9}, "kind_has_another_policy"),
        ({"kind": "headshot", "bucket": "generated"}, "kind_has_another_policy"),
        ({"insert_columns": ["prompt", "status"]}, "insert_column_is_state"),
        ({"on_refund": "public.nothing(uuid,integer)"}, "on_refund_missing"),
        ({"on_refund": "pg_catalog.upper(text)"}, "on_refund_takes_other_arguments"),
    ],
)
async def test_arguments_that_cannot_work_are_refused_by_name(
    project: Project, arguments: dict[str, Any], name: str
) -> None:
    before = await footprint(project)
    assert name in str(await refusal(project, **arguments))
    assert await footprint(project) == before


def test_every_refusal_stands_in_the_docs_and_in_these_tests() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "sql" / "functions").glob("*.sql")]
    calls = [text for text in sources if "listener.misfit" in text]
    named = {name for text in calls for name in re.findall(r"'([a-z]+(?:_[a-z0-9]+)+|state_refused)'", text)}
    refusals = named - NO_REFUSALS
    page = (ROOT / "docs" / "adopting-a-table.md").read_text(encoding="utf-8")
    table = page[page.index("## Refusals") : page.index("Two things no dry run")]
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*watch*.py"))
    assert refusals == set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", table))
    assert {name for name in refusals if name not in tests} == set()


async def test_everything_that_is_wrong_is_named_at_once(project: Project) -> None:
    await project.connection.execute(f"alter table {T} disable row level security, add version integer")
    refused = await refusal(project, owner_column="store_id", bucket="nowhere")
    for name in ("owner_column_missing", "version_may_be_null", "rls_off", "bucket_missing"):
        assert name in str(refused)
    assert len(str(refused.hint).splitlines()) == 4


async def test_a_policy_that_equals_the_kinds_own_is_no_conflict(project: Project) -> None:
    await watch(project, kind="headshot", max_attempts=3, time_limit_s=300, bucket="headshots")


async def test_who_could_write_state_by_another_way_is_named(project: Project) -> None:
    await project.connection.execute(
        f"create role painters; grant update on {T} to painters; alter role authenticated inherit;"
        "grant painters to authenticated"
    )
    try:
        refused = await refusal(project)
    finally:
        await project.connection.execute(
            "revoke painters from authenticated; drop owned by painters; drop role painters; "
            "alter role authenticated noinherit"
        )
    assert "users_can_write_state" in str(refused)


async def test_a_refund_function_that_workers_may_not_call_is_refused(project: Project) -> None:
    await project.connection.execute(
        "create function public.give_back(row_id uuid, amount integer) returns void language sql as 'select';"
        "revoke all on function public.give_back from public"
    )
    assert "on_refund_closed_to_workers" in str(await refusal(project, on_refund="public.give_back(uuid,int)"))
    await project.connection.execute("grant execute on function public.give_back to service_role")
    await watch(project, on_refund="public.give_back(uuid,int)")


async def test_only_its_owner_or_a_member_may_watch_a_table(project: Project) -> None:
    await project.connection.execute(
        "create role builder; grant usage on schema listener to builder; "
        "grant execute on all functions in schema listener to builder; "
        "grant select on all tables in schema listener to builder; grant usage on schema storage to builder"
    )
    try:
        async with project.connection.transaction():
            await project.connection.execute("set local role builder")
            refused = await refusal(project)
    finally:
        await project.connection.execute("drop owned by builder; drop role builder")
    assert "not_the_owner" in str(refused)


async def test_a_copy_of_a_row_with_the_apps_triggers_is_tried_as_well(project: Project, owner: UUID) -> None:
    await project.connection.execute(
        f"create table public.profiles (id uuid primary key); insert into public.profiles values ('{owner}');"
        f"create table public.notices (user_id uuid not null references public.profiles);"
        "grant insert on public.notices to service_role;"
        + FUNCTION.format(body="insert into public.notices values (new.user_id); return new;")
        + TRIGGER.format(when="after update")
        + f"insert into {T} (id, user_id) values ('{uuid4()}', '{owner}')"
    )
    await watch(project)
    assert await project.value("select count(*) from public.notices") == 0


async def test_a_table_whose_version_stands_still_is_refused(project: Project) -> None:
    keeps = FUNCTION.format(body="new.version := old.version; return new;")
    await project.connection.execute(f"alter table {T} add version bigint not null default 0")
    await project.connection.execute(keeps + TRIGGER.format(when="before update"))
    await project.connection.execute(f"insert into {T} (user_id) values (gen_random_uuid())")
    assert "its version does not grow" in str((await refusal(project)).detail)


async def test_a_table_that_takes_no_row_is_refused(project: Project) -> None:
    never = f"alter table {T} add status text default 'queued' check (status <> 'queued')"
    await project.connection.execute(never)
    assert "queued: " in str((await refusal(project)).detail)


async def test_a_check_of_the_app_that_waits_for_the_commit_is_tried_too(project: Project) -> None:
    await project.connection.execute(f"insert into {T} (user_id) values (gen_random_uuid())")
    await project.connection.execute(
        FUNCTION.format(body="if new.status = 'processing' then raise 'not on a Sunday'; end if; return null;")
        + f"create constraint trigger judge after update on {T} deferrable initially deferred "
        "for each row execute function public.judge();"
    )
    assert "not on a Sunday" in str((await refusal(project)).detail)


async def test_who_cannot_try_what_workers_do_is_told_so(project: Project) -> None:
    await project.connection.execute(f"alter table {T} owner to postgres; revoke service_role from postgres")
    try:
        await project.connection.execute("set session authorization postgres")
        assert "(as service_role): permission denied to set role" in str((await refusal(project)).detail)
    finally:  # roles are the whole cluster's
        await project.connection.execute(
            "reset session authorization; grant service_role to postgres with admin option"
        )


async def test_a_unique_index_of_the_app_is_no_obstacle_to_the_dry_run(project: Project) -> None:
    await project.connection.execute(f"create unique index one_each on {T} (prompt)")
    await watch(project)
    assert await project.value("select to_regclass('public.one_each') is not null"), "and it is there afterwards"


async def test_an_apps_own_guard_of_terminal_states_is_no_obstacle(project: Project, owner: UUID) -> None:
    await project.connection.execute(
        f"alter table {T} add status text default 'queued';"
        + FUNCTION.format(body=NO_TERMINAL_EXIT)
        + TRIGGER.format(when="before update")
        + f"insert into {T} (user_id, status) values ('{owner}', 'completed')"
    )
    await watch(project)


async def test_a_trigger_that_the_app_has_switched_off_stays_off(project: Project) -> None:
    await project.connection.execute(
        FUNCTION.format(body="raise 'no';")
        + TRIGGER.format(when="before update")
        + f"alter table {T} disable trigger judge"
    )
    await watch(project)
    assert await project.value("select tgenabled::text from pg_trigger where tgname = 'judge'") == "D"

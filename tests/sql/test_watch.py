"""What adoption does: columns, triggers, rights, publication; and nothing to the rows that were there."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.adopted import PLAIN, TABLE, held, insert, refusal, shown, watch
from tests.sql.conftest import Opener
from tests.sql.project import Project, until_blocked

HOSTED = """
create role hosted nosuperuser createrole bypassrls;
grant anon, authenticated, service_role to hosted;
do $$
declare
  v_statement text;
begin
  execute format('grant all on database %I to hosted', current_database());
  for v_statement in
    select format('alter table %s owner to hosted', class.oid::regclass) from pg_class as class
    where relnamespace in ('listener'::regnamespace, 'public'::regnamespace) and relkind in ('r', 'v')
    union all
    select format('alter routine %s owner to hosted', routine.oid::regprocedure) from pg_proc as routine
    where pronamespace in ('listener'::regnamespace, 'public'::regnamespace)
  loop
    execute v_statement;
  end loop;
end
$$;
alter schema listener owner to hosted;
alter schema public owner to hosted;
alter publication supabase_realtime owner to hosted;
grant usage on schema storage, auth to hosted;
grant select on storage.buckets to hosted;
"""
"""What a hosted project's `postgres` has."""

STATE = {
    "status",
    "progress",
    "message",
    "error_code",
    "error_message",
    "error_details",
    "result",
    "version",
    "started_at",
    "finished_at",
    "updated_at",
}


@pytest.fixture(autouse=True)
async def table(project: Project) -> None:
    """An app's own table."""
    await project.connection.execute(PLAIN)


async def privileges(project: Project, role: str, privilege: str) -> set[str]:
    found = await project.rows(
        "select attname from pg_catalog.pg_attribute where attrelid = $1::text::regclass and attnum > 0 "
        "and not attisdropped and has_column_privilege($2, attrelid, attnum, $3)",
        TABLE,
        role,
        privilege,
    )
    return {row["attname"] for row in found}


async def is_published(project: Project) -> bool:
    return bool(
        await project.value(
            "select exists (select from pg_publication_tables "
            "where pubname = 'supabase_realtime' and tablename = 'portrait_sessions')"
        )
    )


async def test_the_call_of_the_design_works_as_it_is_written(project: Project, owner: UUID) -> None:
    await project.connection.execute(
        "select listener.watch('public.portrait_sessions', kind => 'portrait', owner_column => 'user_id', "
        "credits => 1, max_attempts => 2, time_limit_s => 300);"
    )
    await insert(project, owner, prompt="a coat")
    attempt = await held(project)
    assert await project.settle("complete_sessions", attempt, result={"seed": 1}) == ("applied", None)
    row = await shown(project, attempt.row)
    assert (row["status"], row["progress"], row["version"]) == ("completed", 100, 2)
    assert row["result"] == {"seed": 1, "artifacts": []}
    assert await project.balance(owner) == 9
    session = await project.session(attempt)
    assert (session["max_attempts"], session["time_limit_s"]) == (2, 300)


async def test_missing_columns_are_added_and_named(project: Project) -> None:
    answer = await watch(project)
    assert set(answer["added"]) == STATE
    assert (answer["published"], answer["backfilled"]) == (True, 0)


async def test_mapped_columns_are_used_and_left_out_ones_not_added(project: Project) -> None:
    await project.connection.execute(f"alter table {TABLE} add state text default 'queued', add completed_at timestamp")
    mapping = {"status": "state", "finished_at": "completed_at", "error_details": None, "version": "revision"}
    answer = await watch(project, columns=mapping)
    assert set(answer["added"]) == STATE - {"status", "finished_at", "error_details", "version"} | {"revision"}


async def test_rows_that_were_there_are_neither_queued_nor_charged(project: Project, owner: UUID) -> None:
    await project.connection.execute(f"insert into {TABLE} (user_id) values ($1)", owner)
    await watch(project)
    assert await project.value("select count(*) from listener.sessions") == 0
    assert await project.value("select count(*) from listener.ledger") == 0
    (row,) = await project.rows(f"select status, version from {TABLE}")
    assert row == {"status": None, "version": 0}


async def test_queued_rows_stay_alone_without_backfill(project: Project, owner: UUID) -> None:
    await project.connection.execute(f"alter table {TABLE} add status text default 'queued'")
    await project.connection.execute(f"insert into {TABLE} (user_id) values ($1)", owner)
    await watch(project)
    assert await project.value("select count(*) from listener.sessions") == 0


async def test_backfill_registers_queued_rows_in_the_order_of_their_ids(project: Project, owner: UUID) -> None:
    await project.connection.execute(f"alter table {TABLE} add status text default 'queued'")
    ids = [UUID(int=n) for n in (3, 1, 2)]
    await project.connection.executemany(
        f"insert into {TABLE} (id, user_id) values ($1, $2)", [(i, owner) for i in ids]
    )
    await project.connection.execute(f"insert into {TABLE} (user_id, status) values ($1, 'completed')", owner)
    assert (await watch(project, backfill=True))["backfilled"] == 3
    assert await project.balance(owner) == 7
    worker = await project.worker(kinds=["portrait"])
    assert [row["row_id"].int for row in await project.claim(worker, 5, uuid4(), "portrait")] == [1, 2, 3]


async def test_backfill_that_cannot_be_paid_is_refused_and_leaves_nothing(project: Project, owner: UUID) -> None:
    await project.connection.execute(f"alter table {TABLE} add status text default 'queued'")
    await project.connection.execute(f"insert into {TABLE} (user_id) select $1 from generate_series(1, 11)", owner)
    refused = await refusal(project, backfill=True)
    assert "backfill_unpayable" in str(refused)
    assert "11 queued rows" in str(refused.detail)
    assert await project.value("select count(*) from listener.accounts") == 0
    assert await privileges(project, "service_role", "select") == set()


async def test_credits_0_switches_money_off(project: Project, owner: UUID) -> None:
    await watch(project, credits=0)
    for _ in range(12):
        await insert(project, owner)
    attempt = await held(project)
    assert await project.settle("fail_sessions", attempt, code="generation_failed") == ("applied", None)
    assert await project.entries(owner) == []


async def test_users_may_insert_inputs_and_never_write_state(project: Project, owner: UUID) -> None:
    await watch(project)
    assert await privileges(project, "authenticated", "insert") == {"id", "user_id", "prompt"}
    assert await privileges(project, "authenticated", "update") == set()
    assert await privileges(project, "anon", "select") == set()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await insert(project, owner, status="completed")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await insert(project, owner, user_id=uuid4())


async def test_rights_that_an_app_gave_are_narrowed_to_inputs(project: Project, owner: UUID) -> None:
    await project.connection.execute(f"alter table {TABLE} add status text default 'queued'")
    await project.connection.execute(f"grant all on {TABLE} to anon, authenticated")
    await watch(project)
    for role in ("anon", "authenticated"):
        assert await privileges(project, role, "update") == {"prompt"}
    async with project.acting("authenticated", owner) as connection:
        row = await connection.fetchval(
            f"insert into {TABLE} (user_id, status, result, version) values ($1, 'completed', '{{}}', 9) returning id",
            owner,
        )
    found = await shown(project, row)
    assert (found["status"], found["result"], found["version"]) == ("queued", None, 0)
    assert (await project.session(row))["status"] == "queued"


async def test_column_grants_of_an_app_stay_where_they_are_harmless(project: Project) -> None:
    await project.connection.execute(f"grant update (prompt, user_id) on {TABLE} to authenticated")
    await watch(project)
    assert await privileges(project, "authenticated", "update") == {"prompt"}


async def test_no_user_is_let_in_where_rows_are_open_to_everybody(project: Project) -> None:
    await project.connection.execute(f"alter table {TABLE} disable row level security")
    await watch(project, rls_off_is_fine=True)
    assert await privileges(project, "authenticated", "select") == set()
    assert await privileges(project, "authenticated", "insert") == set()


async def test_grants_can_be_chosen(project: Project) -> None:
    await watch(project, grant_select=False, insert_columns=["prompt"])
    assert await privileges(project, "authenticated", "select") == set()
    assert await privileges(project, "authenticated", "insert") == {"prompt"}


async def test_a_watched_table_is_published_and_served_to_its_workers(project: Project) -> None:
    await watch(project)
    assert await is_published(project)
    assert await project.value("select listener.served_tables('{portrait}')") == [
        {"schema": "public", "table": "portrait_sessions", "kind": "portrait"}
    ]


async def test_a_table_that_was_published_before_is_left_so(project: Project) -> None:
    await project.connection.execute(f"alter publication supabase_realtime add table {TABLE}")
    assert (await watch(project))["published"] is False
    assert await is_published(project)


async def test_two_tables_share_a_kind_and_its_policy(project: Project, owner: UUID) -> None:
    await watch(project, max_attempts=2)
    await project.connection.execute(PLAIN.replace("portrait_sessions", "store_portrait_sessions"))
    store = "public.store_portrait_sessions"
    await watch(project, store)
    for table in (TABLE, store):
        await insert(project, owner, table)
    found = await project.rows("select max_attempts, table_id from listener.sessions")
    assert [row["max_attempts"] for row in found] == [2, 2]
    assert len({row["table_id"] for row in found}) == 2


async def test_the_policy_of_a_kind_that_no_other_table_has_is_set_again(project: Project) -> None:
    await watch(project, max_attempts=2, time_limit_s=60)
    await project.value("select listener.unwatch('public.portrait_sessions')")
    await watch(project, max_attempts=5)
    assert await project.rows(
        "select max_attempts, time_limit_s, bucket from listener.kinds where kind = 'portrait'"
    ) == [{"max_attempts": 5, "time_limit_s": 60, "bucket": "generated"}]


async def test_the_dry_run_leaves_nothing_behind(project: Project) -> None:
    await project.connection.execute(f"alter table {TABLE} add note text not null unique check (note <> '')")
    await watch(project)
    for leftover in ("sessions", "accounts", "artifacts", "ledger"):
        assert await project.value(f"select count(*) from listener.{leftover}") == 0
    assert await project.value(f"select count(*) from {TABLE}") == 0
    found = await project.rows("select contype::text from pg_constraint where conrelid = $1::text::regclass", TABLE)
    assert sorted(row["contype"] for row in found if row["contype"] != "n") == ["c", "p", "u"]
    assert await project.value(
        "select attnotnull from pg_attribute where attrelid = $1::text::regclass and attname = 'note'", TABLE
    )


async def test_the_reset_sees_the_row_after_the_apps_own_triggers(project: Project, owner: UUID) -> None:
    await project.connection.execute(
        "create function public.drafts() returns trigger language plpgsql as "
        "$$ begin new.status := 'draft'; return new; end $$;"
        f"create trigger sets_status before insert on {TABLE} for each row execute function public.drafts()"
    )
    await watch(project)
    assert (await project.session(await insert(project, owner)))["status"] == "queued"


async def test_rows_that_arrive_during_the_adoption_wait_and_become_sessions(
    project: Project, owner: UUID, another: Opener
) -> None:
    late = await another()
    await project.connection.execute(f"grant insert on {TABLE} to authenticated")
    transaction = project.connection.transaction()
    await transaction.start()
    await watch(project)
    async with asyncio.TaskGroup() as group:
        arriving = group.create_task(insert(late, owner))
        watcher = await another()
        await until_blocked(watcher.connection, late.connection)
        await transaction.commit()
    assert (await project.session(arriving.result()))["status"] == "queued"


async def test_a_queued_row_without_an_owner_is_refused_in_plain_words(project: Project) -> None:
    await project.connection.execute(f"alter table {TABLE} alter user_id drop not null")
    await watch(project)
    with pytest.raises(asyncpg.NotNullViolationError, match="a queued row needs an owner"):
        await project.connection.execute(f"insert into {TABLE} (prompt) values ('nobody')")


async def test_an_upsert_charges_only_what_it_inserts(project: Project, owner: UUID) -> None:
    await project.connection.execute(f"grant update (prompt) on {TABLE} to authenticated")
    await watch(project)
    await project.connection.execute(
        f"create policy owner_updates on {TABLE} for update to authenticated using (auth.uid() = user_id)"
    )
    row = await insert(project, owner, prompt="first")
    for _ in range(2):
        async with project.acting("authenticated", owner) as connection:
            await connection.execute(
                f"insert into {TABLE} (id, user_id, prompt) values ($1, $2, 'x') "
                "on conflict (id) do update set prompt = excluded.prompt",
                row,
                owner,
            )
    assert await project.balance(owner) == 9
    assert (await project.session(row))["params"]["prompt"] == "first"


async def test_one_id_may_be_a_row_of_two_tables(project: Project, owner: UUID) -> None:
    await watch(project)
    row = await insert(project, owner)
    await project.insert(owner, id=row)
    assert await project.value("select count(*) from listener.sessions where row_id = $1", row) == 2
    attempt = await held(project)
    await project.settle("complete_sessions", attempt, result={})
    assert (await shown(project, row))["status"] == "completed"
    assert (await project.row(row))["status"] == "queued"


async def test_a_watched_table_cannot_be_truncated(project: Project) -> None:
    await watch(project)
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await project.connection.execute(f"truncate {TABLE}")


async def test_an_import_of_finished_rows_is_neither_charged_nor_queued(project: Project, owner: UUID) -> None:
    await watch(project)
    async with project.acting("service_role") as connection:
        await connection.execute(
            f"insert into {TABLE} (user_id, status) select $1, 'completed' from generate_series(1, 50)", owner
        )
    assert await project.value("select count(*) from listener.sessions") == 0
    assert await project.value("select count(*) from listener.ledger") == 0


async def test_an_owner_who_is_no_superuser_may_adopt(project: Project, owner: UUID) -> None:
    """Hosted projects have no superuser: their `postgres` owns the schemas and is a member of the API's roles."""
    await project.connection.execute(HOSTED)
    try:
        await project.connection.execute("set role hosted")
        await project.connection.execute(PLAIN.replace("portrait_sessions", "hosted_sessions"))
        await watch(project, "public.hosted_sessions")
        await project.connection.execute("reset role")
        await insert(project, owner, "public.hosted_sessions")
        attempt = await held(project)
        assert await project.settle("complete_sessions", attempt, result={}) == ("applied", None)
        assert (await shown(project, attempt.row, "public.hosted_sessions"))["status"] == "completed"
    finally:
        await project.connection.execute("reset role")
        await project.connection.execute("reassign owned by hosted to postgres; drop owned by hosted; drop role hosted")


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize(
    "call", ["watch($1::text::regclass, 'portrait')", "unwatch($1::text::regclass)", "mend($1::text::regclass)"]
)
async def test_only_the_owner_of_the_project_may_adopt(project: Project, role: str, call: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, uuid4()) as connection:
            await connection.execute(f"select listener.{call}", TABLE)

"""What the projection does: versions grow, and a table that cannot be written stops nobody else."""

from __future__ import annotations

from uuid import UUID

from tests.sql.project import SECOND_TABLE, Project

KINDS = ("headshot", "portrait")


async def second_table(project: Project, owner: UUID) -> UUID:
    await project.connection.execute(SECOND_TABLE)
    return await project.value(
        "insert into public.portrait_sessions (user_id, prompt) values ($1, 'p') returning id", owner
    )


async def broken(project: Project) -> list[str]:
    found = await project.rows("select relation::text from listener.session_tables where broken_at is not null")
    return [row["relation"] for row in found]


async def test_a_table_that_refuses_a_status_is_broken_and_the_other_kind_goes_on(
    project: Project, owner: UUID
) -> None:
    await second_table(project, owner)
    await project.connection.execute("alter table public.portrait_sessions add check (status <> 'processing')")
    (row,) = await project.insert(owner)
    worker = await project.worker(kinds=KINDS)
    assert [claimed["row_id"] for claimed in await project.claim(worker, 5, None, *KINDS)] == [row]
    assert await broken(project) == ["portrait_sessions"]
    waiting = await project.rows("select status, failures from listener.sessions where kind = 'portrait'")
    assert waiting == [{"status": "queued", "failures": 0}]
    assert await project.claim(worker, 5, None, *KINDS) == []


async def test_a_table_without_a_grant_is_broken_and_the_other_kind_goes_on(project: Project, owner: UUID) -> None:
    await second_table(project, owner)
    await project.connection.execute("revoke update on public.portrait_sessions from service_role")
    await project.insert(owner)
    claimed = await project.claim(await project.worker(kinds=KINDS), 5, None, *KINDS)
    assert [row["kind"] for row in claimed] == ["headshot"]
    assert await broken(project) == ["portrait_sessions"]


async def test_money_is_right_even_when_the_row_cannot_show_it(project: Project, owner: UUID) -> None:
    await second_table(project, owner)
    worker = await project.worker(kinds=KINDS)
    (claimed,) = await project.claim(worker, 5, None, *KINDS)
    await project.connection.execute("alter table public.portrait_sessions drop column error_details")
    item = {"session": str(claimed["session"]), "attempt": 1, "code": "generation_failed"}
    assert await project.outcomes("fail_sessions", worker, item) == [("applied", None)]
    assert await project.balance(owner) == 10
    assert await broken(project) == ["portrait_sessions"]


async def test_a_mended_table_is_served_again(project: Project, owner: UUID) -> None:
    await second_table(project, owner)
    worker = await project.worker(kinds=KINDS)
    await project.connection.execute("revoke update on public.portrait_sessions from service_role")
    assert await project.claim(worker, 5, None, *KINDS) == []
    await project.connection.execute("grant update on public.portrait_sessions to service_role")
    await project.connection.execute("update listener.session_tables set broken_at = null, broken_reason = null")
    assert len(await project.claim(worker, 5, None, *KINDS)) == 1


async def test_a_lock_timeout_does_not_break_a_table(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    assert await project.value("select listener.is_transient('55P03')")
    assert not await project.value("select listener.is_transient('23514')")
    await project.settle("complete_sessions", held, result={})
    assert await broken(project) == []


async def test_only_what_a_table_has_is_written(project: Project, owner: UUID) -> None:
    await project.connection.execute(
        """
        alter table public.headshot_sessions rename column finished_at to completed_at;
        alter table public.headshot_sessions drop column message;
        update listener.session_tables
        set columns = columns - 'message' || '{"finished_at": "completed_at"}';
        """
    )
    held = await project.held(owner=owner)
    await project.settle("complete_sessions", held, result={})
    row = await project.row(held)
    assert row["status"] == "completed"
    assert row["completed_at"] is not None
    await project.connection.execute(
        "alter table public.headshot_sessions rename completed_at to finished_at;"
        "alter table public.headshot_sessions add message text"
    )


ADOPTION = {
    "add_state_columns",
    "add_triggers",
    "backfill_rows",
    "bind_tables",
    "grant_access",
    "hold_table",
    "insert_probe",
    "loosen_table",
    "narrow_updates",
    "pay_app_refunds",
    "publish_table",
    "send_webhooks",
    "set_broadcasts",
    "stale_sessions",
    "strip_table",
    "switch_triggers",
    "walk_states",
}


async def test_dynamic_sql_is_only_where_tables_are_adopted_an_app_refunds_or_pg_net_may_be_absent(
    project: Project,
) -> None:
    found = await project.rows(
        "select proname, prosecdef, has_function_privilege('service_role', routine.oid, 'execute') as is_open "
        "from pg_catalog.pg_proc as routine "
        "join pg_catalog.pg_namespace as namespace on namespace.oid = routine.pronamespace "
        "where nspname in ('listener', 'public') and prosrc ~* '(?n)(^|;|then|else|loop|begin)\\s*execute\\M'"
    )
    assert {row["proname"] for row in found} == ADOPTION
    assert [row["proname"] for row in found if row["is_open"]] == ["pay_app_refunds"]
    assert not [row["proname"] for row in found if row["prosecdef"]]

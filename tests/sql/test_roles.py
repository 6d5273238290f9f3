"""Who may do what: everything is closed, and each door is named here."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import Project

OURS = "('listener', 'public')"
WORKER_RPCS = {
    "acquire_permits",
    "account_ledger",
    "api_key_usage",
    "authenticate_api_key",
    "claim_deliveries",
    "cost_report",
    "create_api_key",
    "list_api_keys",
    "revoke_api_key",
    "set_partner_webhook",
    "settle_deliveries",
    "add_artifacts",
    "cancel_owner_session",
    "cancel_sessions",
    "claim_sessions",
    "complete_sessions",
    "expired_artifacts",
    "fail_sessions",
    "forget_artifacts",
    "forget_owner",
    "grant_credits",
    "heartbeat",
    "leave_cleaning",
    "owned_tables",
    "orphaned_elsewhere",
    "orphaned_objects",
    "owner_credits",
    "owner_queue_status",
    "partner_report",
    "recent_failures",
    "refund_session",
    "register_worker",
    "release_sessions",
    "report_progress",
    "retry_sessions",
    "rotate_partner_secret",
    "set_plan",
    "set_retention",
    "service_levels",
    "service_status",
    "survey_project",
    "sweep_sessions",
    "requested_cancels",
    "take_cleaning",
    "worker_demand",
}
USER_DOORS = {
    "public.cancel_session",
    "public.credit_balance",
    "public.queue_status",
    "listener.cancel_own_session",
    "listener.own_balance",
    "listener.own_queue_status",
}
INPUTS = {
    "headshot_sessions": {
        "id",
        "user_id",
        "prompt",
        "negative_prompt",
        "width",
        "height",
        "num_inference_steps",
        "guidance_scale",
        "seed",
    },
    "generation_sessions": {
        "id",
        "user_id",
        "task_id",
        "channel",
        "image_urls",
        "prompt",
        "request_id",
        "payload_version",
    },
    "characters": {"id", "user_id", "name", "config", "style", "face_reference_path"},
    "avatar_sessions": {"id", "user_id", "image_url", "audio_url", "prompt", "resolution", "seed"},
    "generation_jobs": {"id", "user_id", "character_id", "image_count"},
}
READ_BY_USERS = {
    "public.avatar_sessions",
    "public.character_images",
    "public.characters",
    "public.generation_jobs",
    "public.generation_sessions",
    "public.headshot_sessions",
    "public.store_avatar_sessions",
    "public.store_generation_sessions",
    "public.store_members",
    "public.stores",
}


async def executable(project: Project, role: str) -> set[str]:
    found = await project.rows(
        f"""
        select nspname || '.' || proname as name
        from pg_catalog.pg_proc as routine
        join pg_catalog.pg_namespace as namespace on namespace.oid = routine.pronamespace
        where nspname in {OURS} and has_function_privilege($1, routine.oid, 'execute')
        """,
        role,
    )
    return {row["name"] for row in found}


async def test_nobody_but_the_named_roles_may_execute_anything(project: Project) -> None:
    assert await executable(project, "anon") == set()
    assert await executable(project, "authenticated") == USER_DOORS
    opened = await executable(project, "service_role")
    assert {name for name in opened if name.startswith("public.")} == {f"public.{name}" for name in WORKER_RPCS}
    assert not opened & USER_DOORS


async def test_every_function_pins_its_search_path_and_definers_are_hidden(project: Project) -> None:
    found = await project.rows(
        f"""
        select nspname, proname, prosecdef, proconfig
        from pg_catalog.pg_proc as routine
        join pg_catalog.pg_namespace as namespace on namespace.oid = routine.pronamespace
        where nspname in {OURS}
        """
    )
    assert [row["proname"] for row in found if row["proconfig"] != ['search_path=""']] == []
    assert [row["proname"] for row in found if row["prosecdef"] and row["nspname"] == "public"] == []


async def test_rows_are_secured_everywhere_but_on_the_canary(project: Project) -> None:
    found = await project.rows(
        f"""
        select relname from pg_catalog.pg_class as class
        join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
        where nspname in {OURS} and relkind = 'r' and not relrowsecurity
        """
    )
    assert [row["relname"] for row in found] == ["workers"]


async def test_users_have_no_right_on_any_table_but_their_own_rows(project: Project) -> None:
    found = await project.rows(
        f"""
        select grantee, table_schema || '.' || table_name as name, privilege_type as privilege
        from information_schema.role_table_grants
        where table_schema in {OURS} and grantee in ('anon', 'authenticated', 'PUBLIC')
        """
    )
    rights = {(row["grantee"], row["privilege"], row["name"]) for row in found}
    reads = {("authenticated", "SELECT", name) for name in READ_BY_USERS}
    assert rights == reads | {("authenticated", "DELETE", "public.characters")}
    columns = await project.rows(
        "select table_name, array_agg(column_name::text) as names from information_schema.column_privileges "
        "where grantee = 'authenticated' and privilege_type = 'INSERT' and table_schema = 'public' group by table_name"
    )
    assert {row["table_name"]: set(row["names"]) for row in columns} == INPUTS
    changed = await project.rows(
        "select distinct table_name || '.' || column_name as name from information_schema.column_privileges "
        f"where grantee in ('anon', 'authenticated', 'PUBLIC') and privilege_type = 'UPDATE' and table_schema in {OURS}"
    )
    inputs = ("name", "config", "style", "face_reference_path")
    assert {row["name"] for row in changed} == {f"characters.{name}" for name in inputs}


async def test_service_role_cannot_rewrite_history(project: Project) -> None:
    for table, privilege in (
        ("ledger", "update"),
        ("ledger", "delete"),
        ("sessions", "delete"),
        ("accounts", "delete"),
        ("deliveries", "delete"),
        ("api_keys", "delete"),
        ("api_key_days", "delete"),
        ("variants", "update"),
        ("artifacts", "delete"),
        ("forgotten_owners", "delete"),
    ):
        allowed = await project.value(f"select has_table_privilege('service_role', 'listener.{table}', '{privilege}')")
        assert allowed is False


async def test_a_user_sees_only_his_own_rows(project: Project, owner: UUID) -> None:
    await project.insert(owner, 2)
    await project.insert(uuid4(), 3)
    async with project.acting("authenticated", owner) as connection:
        assert await connection.fetchval("select count(*) from public.headshot_sessions") == 2
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting("anon") as connection:
            await connection.fetchval("select count(*) from public.headshot_sessions")


async def test_a_user_cannot_insert_for_another(project: Project, owner: UUID) -> None:
    for returning in ("", "returning id"):  # what comes back must be readable, too: the policy on inserts stands alone
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting("authenticated", owner) as connection:
                await connection.execute(
                    f"insert into public.headshot_sessions (user_id, prompt) values ($1, 'p') {returning}", uuid4()
                )


@pytest.mark.parametrize(
    "change", ["update public.headshot_sessions set prompt = 'x'", "delete from public.headshot_sessions"]
)
async def test_a_user_cannot_change_or_delete_rows(project: Project, owner: UUID, change: str) -> None:
    await project.insert(owner)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting("authenticated", owner) as connection:
            await connection.execute(change)


@pytest.mark.parametrize(
    "table",
    [
        "sessions",
        "accounts",
        "ledger",
        "workers",
        "kinds",
        "plans",
        "turns",
        "artifacts",
        "api_keys",
        "api_key_days",
        "api_key_windows",
        "partner_webhooks",
        "deliveries",
        "variants",
        "variant_results",
        "due_artifacts",
        "retentions",
        "daily_costs",
        "key_usage",
        "pruned_costs",
        "forgotten_owners",
        "pack_invariants",
    ],
)
async def test_the_private_schema_is_closed_to_users(project: Project, owner: UUID, table: str) -> None:
    for role in ("anon", "authenticated"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting(role, owner) as connection:
                await connection.fetch(f"select 1 from listener.{table}")


@pytest.mark.parametrize("bucket", ["headshots", "generated", "characters", "videos", "uploads"])
async def test_an_owner_reads_only_the_folder_with_his_id(project: Project, owner: UUID, bucket: str) -> None:
    other = uuid4()
    for name in (f"{owner}/a.png", f"{other}/b.png"):
        await project.connection.execute("insert into storage.objects (bucket_id, name) values ($1, $2)", bucket, name)
    async with project.acting("authenticated", owner) as connection:
        seen = await connection.fetch("select name from storage.objects")
        assert [row["name"] for row in seen] == [f"{owner}/a.png"]


@pytest.mark.parametrize(
    ("bucket", "folder", "may"),
    [("uploads", "own", True), ("uploads", "other", False), ("headshots", "own", False), ("generated", "own", False)],
)
async def test_an_owner_uploads_only_inputs_and_only_to_his_folder(
    project: Project, owner: UUID, bucket: str, folder: str, may: bool
) -> None:
    name = f"{owner if folder == 'own' else uuid4()}/mine.png"
    put = "insert into storage.objects (bucket_id, name) values ($1, $2)"
    if may:
        async with project.acting("authenticated", owner) as connection:
            await connection.execute(put, bucket, name)
            assert await connection.execute("update storage.objects set name = name || 'x'") == "UPDATE 0"
    else:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with project.acting("authenticated", owner) as connection:
                await connection.execute(put, bucket, name)


async def test_the_buckets_are_private(project: Project) -> None:
    found = await project.rows("select id, public from storage.buckets order by id")
    assert found == [
        {"id": name, "public": False}
        for name in ("characters", "generated", "headshots", "stores", "uploads", "videos")
    ]


async def test_what_is_published_can_be_read_by_those_who_watch_it(project: Project) -> None:
    published = await project.rows(
        "select schemaname || '.' || tablename as name from pg_publication_tables where pubname = 'supabase_realtime'"
    )
    assert {row["name"] for row in published} == {
        "public.headshot_sessions",
        "public.avatar_sessions",
        "public.store_avatar_sessions",
        "public.generation_sessions",
        "public.store_generation_sessions",
        "public.generation_jobs",
        "public.character_images",
        "listener.workers",
    }
    for name in published:
        role, table = "service_role" if name["name"] == "listener.workers" else "authenticated", name["name"]
        assert await project.value("select has_schema_privilege($1, split_part($2, '.', 1), 'usage')", role, table)
        assert await project.value("select has_column_privilege($1, $2, 'id', 'select')", role, table)

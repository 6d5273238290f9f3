"""Nobody gets at another's: anon, two users, two stores and service_role, on a table of users and one of stores."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.project import Project, Row

STORES = """
create table public.store_staff (store_id uuid not null, user_id uuid not null, primary key (store_id, user_id));
alter table public.store_staff enable row level security;
grant select on public.store_staff to authenticated;
create policy own_places on public.store_staff for select to authenticated using (user_id = auth.uid());

create table public.store_sessions (id uuid primary key default gen_random_uuid(), store_id uuid not null, prompt text);
alter table public.store_sessions enable row level security;
create policy staff_reads on public.store_sessions for select to authenticated using (
  store_id in (select staff.store_id from public.store_staff as staff)
);
create policy staff_inserts on public.store_sessions for insert to authenticated with check (
  store_id in (select staff.store_id from public.store_staff as staff)
);
select listener.watch('public.store_sessions', kind => 'portrait', owner_column => 'store_id', credits => 2);
"""


@dataclass(frozen=True, slots=True)
class World:
    """Two users with a headshot each, two stores with a try-on each and one member of staff each."""

    project: Project
    users: tuple[UUID, UUID]
    stores: tuple[UUID, UUID]
    staff: tuple[UUID, UUID]
    headshots: tuple[UUID, UUID]
    tryons: tuple[UUID, UUID]


async def insert_for_store(project: Project, member: UUID | None, store: UUID, role: str = "authenticated") -> UUID:
    """Insert a try-on that a store pays for, with an id given by the inserter: it needs to read nothing back."""
    row = uuid4()
    async with project.acting(role, member) as connection:
        await connection.execute(
            "insert into public.store_sessions (id, store_id, prompt) values ($1, $2, 'p')", row, store
        )
    return row


@pytest.fixture
async def world(project: Project) -> World:
    """Everybody there is."""
    await project.connection.execute(STORES)
    users, stores, staff = (uuid4(), uuid4()), (uuid4(), uuid4()), (uuid4(), uuid4())
    for store, member in zip(stores, staff, strict=True):
        await project.connection.execute("insert into public.store_staff values ($1, $2)", store, member)
    headshots = ((await project.insert(users[0]))[0], (await project.insert(users[1]))[0])
    tryons = [await insert_for_store(project, m, s) for s, m in zip(stores, staff, strict=True)]
    return World(project, users, stores, staff, headshots, (tryons[0], tryons[1]))


async def seen(project: Project, role: str, user: UUID | None, table: str) -> set[UUID]:
    """The ids of the rows that somebody reads."""
    async with project.acting(role, user) as connection:
        return {row["id"] for row in await connection.fetch(f"select id from public.{table}")}


async def refused(project: Project, role: str, user: UUID | None, statement: str, *arguments: object) -> str | None:
    """The SQLSTATE with which somebody is refused."""
    try:
        async with project.acting(role, user) as connection:
            await connection.execute(statement, *arguments)
    except asyncpg.PostgresError as error:
        return error.sqlstate
    return None


async def test_everybody_reads_his_own_and_service_role_all(world: World) -> None:
    project = world.project
    for n in (0, 1):
        assert await seen(project, "authenticated", world.users[n], "headshot_sessions") == {world.headshots[n]}
        assert await seen(project, "authenticated", world.users[n], "store_sessions") == set()
        assert await seen(project, "authenticated", world.staff[n], "store_sessions") == {world.tryons[n]}
        assert await seen(project, "authenticated", world.staff[n], "headshot_sessions") == set()
        assert await seen(project, "authenticated", world.stores[n], "store_sessions") == set()
    assert await seen(project, "service_role", None, "headshot_sessions") == set(world.headshots)
    assert await seen(project, "service_role", None, "store_sessions") == set(world.tryons)


async def test_a_token_without_a_user_reads_and_inserts_nothing(world: World) -> None:
    project = world.project
    for table in ("headshot_sessions", "store_sessions"):
        assert await seen(project, "authenticated", None, table) == set()
    insert = "insert into public.headshot_sessions (prompt) values ('p')"
    assert await refused(project, "authenticated", None, insert) is not None
    assert await project.value("select count(*) from listener.sessions") == 4


@pytest.mark.parametrize(
    "statement",
    [
        "select from public.headshot_sessions",
        "insert into public.headshot_sessions (prompt) values ('p')",
        "insert into public.store_sessions (store_id, prompt) values (gen_random_uuid(), 'p')",
        "update public.headshot_sessions set prompt = 'x'",
        "delete from public.headshot_sessions",
        "select public.cancel_session(gen_random_uuid())",
        "select public.credit_balance()",
        "select public.worker_demand()",
    ],
)
async def test_anon_may_do_nothing_even_with_the_id_of_a_user(world: World, statement: str) -> None:
    assert await refused(world.project, "anon", world.users[0], statement) == "42501"


async def test_one_store_pays_for_itself_alone(world: World) -> None:
    project = world.project
    for _ in range(4):
        await insert_for_store(project, world.staff[0], world.stores[0])
    assert await project.balance(world.stores[0]) == 0
    with pytest.raises(asyncpg.PostgresError, match="credits_insufficient"):
        await insert_for_store(project, world.staff[0], world.stores[0])
    assert await project.balance(world.stores[1]) == 8
    await insert_for_store(project, world.staff[1], world.stores[1])
    assert await project.value("select count(*) from listener.accounts where owner = any($1)", world.staff) == 0
    assert await project.balance(world.users[0]) == 9


async def test_staff_cannot_insert_for_another_store(world: World) -> None:
    for member, store in ((world.staff[0], world.stores[1]), (world.users[0], world.stores[0])):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await insert_for_store(world.project, member, store)


async def test_service_role_inserts_for_whom_it_names(world: World) -> None:
    row = await insert_for_store(world.project, None, world.stores[1], "service_role")
    assert (await world.project.session(row))["owner"] == world.stores[1]


async def test_only_the_owner_cancels_and_nobody_learns_that_the_row_exists(world: World) -> None:
    project, call = world.project, "select public.cancel_session($1)"
    strangers = [world.users[1], *world.staff, *world.stores, uuid4()]
    assert {await refused(project, "authenticated", who, call, world.headshots[0]) for who in strangers} == {"SL002"}
    assert {await refused(project, "authenticated", who, call, world.tryons[0]) for who in strangers[:3]} == {"SL002"}
    assert await refused(project, "authenticated", world.users[0], call, uuid4()) == "SL002"
    assert await refused(project, "authenticated", world.users[0], call, world.headshots[0]) is None
    states = await project.rows("select row_id, status from listener.sessions where status <> 'queued'")
    assert states == [{"row_id": world.headshots[0], "status": "cancelled"}]


async def test_a_row_of_the_same_id_in_another_table_stays_untouched(world: World) -> None:
    project, shared = world.project, world.headshots[0]
    async with project.acting("service_role") as connection:
        await connection.execute(
            "insert into public.store_sessions (id, store_id) values ($1, $2)", shared, world.stores[0]
        )
    await project.connection.execute("delete from public.store_sessions where id = $1", shared)
    found = await project.rows("select kind, status from listener.sessions where row_id = $1 order by kind", shared)
    assert found == [{"kind": "headshot", "status": "queued"}, {"kind": "portrait", "status": "cancelled"}]
    assert (await project.balance(world.users[0]), await project.balance(world.stores[0])) == (9, 8)


async def test_everybody_asks_for_his_own_balance(world: World) -> None:
    async def balance(user: UUID) -> int:
        async with world.project.acting("authenticated", user) as connection:
            return int(await connection.fetchval("select public.credit_balance()"))

    await world.project.grant(world.users[1], 5)
    assert [await balance(user) for user in (*world.users, *world.stores)] == [9, 14, 8, 8]


async def test_files_are_read_by_the_owner_of_the_folder(world: World) -> None:
    project = world.project
    for owner in (*world.users, *world.stores):
        path = f"{owner}/image.png"
        await project.connection.execute("insert into storage.objects (bucket_id, name) values ('generated', $1)", path)
    for user in (*world.users, *world.staff):
        async with project.acting("authenticated", user) as connection:
            names = [row["name"] for row in await connection.fetch("select name from storage.objects")]
        assert names == ([f"{user}/image.png"] if user in world.users else [])
    async with project.acting("anon") as connection:
        assert await connection.fetch("select name from storage.objects") == []


async def relations(project: Project) -> list[Row]:
    return await project.rows(
        """
        select class.oid::regclass::text as name, class.relkind::text as kind from pg_catalog.pg_class as class
        join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
        where nspname = 'listener' and class.relkind in ('r', 'v', 'S', 'm', 'p', 'f') order by 1
        """
    )


async def test_no_relation_of_the_private_schema_gives_users_anything(project: Project) -> None:
    found = await relations(project)
    assert {"listener.sessions", "listener.events", "listener.events_per_day"} <= {row["name"] for row in found}
    for role in ("anon", "authenticated"):
        for row in found:
            function = "has_sequence_privilege" if row["kind"] == "S" else "has_any_column_privilege"
            for privilege in ("usage", "select", "update") if row["kind"] == "S" else ("select", "insert", "update"):
                allowed = await project.value(f"select {function}($1, $2, $3)", role, row["name"], privilege)
                assert not allowed, f"{role} has {privilege} on {row['name']}"


async def test_service_role_deletes_only_what_expires_and_what_it_set(project: Project) -> None:
    allowed = {
        privilege: {
            row["name"]
            for row in await relations(project)
            if row["kind"] != "S"
            and await project.value("select has_table_privilege('service_role', $1, $2)", row["name"], privilege)
        }
        for privilege in ("delete", "truncate", "references", "trigger")
    }
    assert allowed == {
        "delete": {"listener.permits", "listener.api_key_windows", "listener.retentions"},
        "truncate": set(),
        "references": set(),
        "trigger": set(),
    }


async def test_service_role_reads_of_a_worker_only_that_it_beats(project: Project) -> None:
    await project.worker()
    async with project.acting("service_role") as connection:
        assert len(await connection.fetch("select id, beats from listener.workers")) == 1
    for column in ("name", "devices", "lease_expires_at", "kinds"):
        assert await refused(project, "service_role", None, f"select {column} from listener.workers") == "42501"
    assert await refused(project, "service_role", None, "update listener.workers set beats = 0") == "42501"


async def test_an_owner_removes_his_own_uploads_alone(world: World) -> None:
    project = world.project
    for owner in world.users:
        for bucket in ("uploads", "generated"):
            await project.connection.execute(
                "insert into storage.objects (bucket_id, name) values ($1, $2)", bucket, f"{owner}/image.png"
            )
    async with project.acting("authenticated", world.users[0]) as connection:
        await connection.execute("set local storage.allow_delete_query = 'true'")  # as the Storage API does
        # Without a condition: one that names a column would be held to what he may read, too.
        await connection.execute("delete from storage.objects")
    left = {
        (row["bucket_id"], row["name"]) for row in await project.rows("select bucket_id, name from storage.objects")
    }
    mine, others = (f"{user}/image.png" for user in world.users)
    assert left == {("generated", mine), ("uploads", others), ("generated", others)}

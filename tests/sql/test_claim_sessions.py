"""What a claim does: each due session to one worker, in fair order, repeatable, never waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Project

DUE = Path(__file__).parents[2] / "sql" / "functions" / "due_of_kind.sql"


async def test_a_claim_starts_an_attempt_and_shows_it(project: Project, owner: UUID) -> None:
    (row,) = await project.insert(owner, prompt="p")
    worker = await project.worker()
    (claimed,) = await project.claim(worker)
    assert (claimed["attempt"], claimed["kind"], claimed["owner"], claimed["row_id"]) == (1, "headshot", owner, row)
    assert (claimed["bucket"], claimed["path_prefix"]) == ("headshots", f"{owner}/{row}")
    assert (claimed["params"]["prompt"], claimed["failures"], claimed["max_attempts"]) == ("p", 0, 3)
    assert claimed["time_limit_s"] == 300
    shown = await project.row(row)
    assert (shown["status"], shown["version"], shown["progress"]) == ("processing", 1, 0)
    assert shown["started_at"] is not None


async def test_the_same_claim_gives_the_same_rows(project: Project, owner: UUID) -> None:
    await project.insert(owner, 4)
    worker, claim = await project.worker(), uuid4()
    first = await project.claim(worker, 2, claim)
    assert await project.claim(worker, 2, claim) == first
    assert len(first) == 2
    others = await project.claim(worker, 4)
    assert not {row["session"] for row in others} & {row["session"] for row in first}


async def test_another_workers_claim_id_explains_nothing(project: Project, owner: UUID) -> None:
    await project.insert(owner)
    claim = uuid4()
    await project.claim(await project.worker(), 1, claim)
    assert await project.claim(await project.worker(), 1, claim) == []


async def test_a_later_attempt_writes_to_a_path_of_its_own(project: Project, owner: UUID) -> None:
    held = await project.held(owner=owner)
    await project.settle("release_sessions", held)
    (claimed,) = await project.claim(held.worker)
    assert (claimed["attempt"], claimed["path_prefix"]) == (2, f"{owner}/{held.row}.2")


async def test_an_unknown_worker_gets_nothing(project: Project, owner: UUID) -> None:
    await project.insert(owner)
    assert await project.claim(uuid4()) == []


async def test_a_worker_whose_lease_ran_out_gets_nothing(project: Project, owner: UUID) -> None:
    await project.set_clock("2030-01-01 00:00:00+00")
    worker = await project.worker(lease_s=10)
    await project.insert(owner)
    await project.set_clock("2030-01-01 00:00:10+00")
    assert await project.claim(worker) == []
    await project.set_clock("2030-01-01 00:00:09+00")
    assert len(await project.claim(worker)) == 1


async def test_only_the_kinds_asked_for_are_given(project: Project, owner: UUID) -> None:
    await project.insert(owner)
    worker = await project.worker()
    assert await project.claim(worker, 1, None, "portrait") == []


async def test_parallel_claims_never_give_one_session_twice(project: Project, owner: UUID, another: Opener) -> None:
    await project.grant(owner, 400)
    await project.insert(owner, 400)
    projects = [await another() for _ in range(4)]

    async def drain(opened: Project) -> list[UUID]:
        worker, mine = await opened.worker(), []
        while rows := await opened.claim(worker, 7):
            mine += [row["session"] for row in rows]
        return mine

    claimed = [session for mine in await asyncio.gather(*map(drain, projects)) for session in mine]
    claimed += [row["session"] for row in await project.claim(await project.worker(), 400)]
    assert len(claimed) == len(set(claimed)) == 400
    assert await project.value("select max(attempt) from listener.sessions") == 1


@pytest.mark.parametrize("limit", [4, 12])  # by tens and one by one are two queries
async def test_a_claim_does_not_wait_for_another(project: Project, owner: UUID, another: Opener, limit: int) -> None:
    await project.insert(owner, 4)
    other = await another()
    await other.connection.execute("begin")
    await other.connection.execute("select listener.due_sessions(array['headshot'], 2)")
    await project.connection.execute("set lock_timeout = '2s'")
    assert len(await project.claim(await project.worker(), limit)) == 2
    await other.connection.execute("rollback")


async def test_a_claim_repeated_while_it_still_runs_gives_the_same_rows(
    project: Project, owner: UUID, another: Opener
) -> None:
    await project.insert(owner, 6)
    worker, claim = await project.worker(), uuid4()
    projects = [await another() for _ in range(3)]
    answers = await asyncio.gather(*(opened.claim(worker, 2, claim) for opened in projects))
    assert [{row["session"] for row in answer} for answer in answers] == [{r["session"] for r in answers[0]}] * 3
    assert await project.value("select count(*) from listener.sessions where status = 'processing'") == 2


async def test_a_row_that_somebody_holds_is_left_for_the_next_claim(
    project: Project, owner: UUID, another: Opener
) -> None:
    rows = await project.insert(owner, 2)
    worker, holder = await project.worker(), await another()
    await holder.connection.execute("begin")
    await holder.connection.execute("select from public.headshot_sessions where id = $1 for update", rows[0])
    await project.connection.execute("set lock_timeout = '5s'")
    assert [row["row_id"] for row in await project.claim(worker, 2)] == [rows[1]]
    assert (await project.session(rows[0]))["attempt"] == 0
    await holder.connection.execute("rollback")
    assert [row["row_id"] for row in await project.claim(worker, 2)] == [rows[0]]


async def test_a_session_without_its_row_fails_and_is_refunded(project: Project, owner: UUID) -> None:
    rows = await project.insert(owner, 2)
    await project.connection.execute("set session_replication_role = replica")
    await project.connection.execute("delete from public.headshot_sessions where id = $1", rows[0])
    await project.connection.execute("set session_replication_role = origin")
    claimed = await project.claim(await project.worker(), 2)
    assert [row["row_id"] for row in claimed] == [rows[1]]
    gone = await project.session(rows[0])
    assert (gone["status"], gone["error_code"]) == ("failed", "row_missing")
    assert await project.balance(owner) == 9


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_service_role_may_claim(project: Project, owner: UUID, role: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with project.acting(role, owner) as connection:
            await connection.fetch("select * from public.claim_sessions($1, $1, array['headshot'], 1)", uuid4())


@pytest.mark.parametrize("plan_mode", ["force_custom_plan", "force_generic_plan"])
async def test_the_claim_reads_one_index_in_order_whatever_the_backlog(project: Project, plan_mode: str) -> None:
    await project.connection.execute(
        """
        insert into listener.accounts (owner) select gen_random_uuid() from generate_series(1, 100);
        insert into listener.sessions (
          table_id, row_id, kind, owner, params, cost, start_tag, fair_tag, max_attempts, time_limit_s, request_id,
          status, finished_at
        )
        select
          1, gen_random_uuid(), 'headshot', (array(select owner from listener.accounts))[1 + n % 100], '{}', 0,
          n % 997, n % 997, 3, 300, '', case when n % 4 = 0 then 'queued' else 'completed' end,
          case when n % 4 = 0 then null else now() end
        from generate_series(1, 40000) as n;
        analyze listener.sessions;
        """
    )
    body = DUE.read_text().split("array(")[1].split("limit 10")[0] + "limit 10 for no key update of session skip locked"
    for name, number in (("p_kind", "$1"), ("v_tag", "$2"), ("v_seq", "$3")):
        body = body.replace(name, number)
    await project.connection.execute(f"set plan_cache_mode = {plan_mode}")
    await project.connection.execute(f"prepare due (text, double precision, bigint) as {body}")
    explained = await project.connection.fetch("explain (analyze, buffers) execute due('headshot', '-infinity', 0)")
    plan = "\n".join(line[0] for line in explained)
    assert "Index Scan using sessions_claimable" in plan
    assert "Seq Scan on sessions" not in plan
    scanned = [line for line in plan.splitlines() if "sessions_claimable" in line]
    assert [line.split("actual ")[1].split("rows=")[1].split(" ")[0].split(".")[0] for line in scanned] == ["10"], plan
    await project.connection.execute("delete from listener.sessions")

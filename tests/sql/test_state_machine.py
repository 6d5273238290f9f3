"""Any sequence of calls leaves the database as the model says: money, states, turns, events, and no invariant broken.

Short in the suite; LISTENER_SOAK=<examples> (make soak) looks for longer.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.sql.model import Model, Outcome, Session
from tests.sql.project import SECOND_TABLE, Project, Row, connect, expect_invariants

T = TypeVar("T")
Verdict = tuple[str, int, int | None]
SOAK = int(os.environ.get("LISTENER_SOAK", "0"))
TABLES = {"headshot": "public.headshot_sessions", "portrait": "public.portrait_sessions"}
START = datetime(2030, 1, 1, tzinfo=UTC)
OWNERS = [UUID(int=n) for n in range(1, 4)]
WORKERS = [UUID(int=n) for n in range(101, 104)]
SETTLEMENTS = ("complete_sessions", "fail_sessions", "retry_sessions", "release_sessions", "cancel_sessions")
DEARER = """
grant delete on public.portrait_sessions to service_role;
update listener.session_tables set credits = 3 where kind = 'portrait';
update listener.kinds set cancel_refund = 'undelivered' where kind = 'portrait';
"""
EMPTY = """
set session_replication_role = replica;
delete from listener.events; delete from listener.artifacts; delete from listener.sessions; delete from listener.turns;
delete from listener.ledger; delete from listener.accounts; delete from listener.workers;
delete from public.headshot_sessions; delete from public.portrait_sessions;
update listener.virtual_times set virtual_time = 0, claimed_at = null;
set session_replication_role = origin;
"""
STATE = """
select row_id, (kind, owner, status, attempt, failures, worker, cancel_requested_at is not null, progress,
  start_tag, fair_tag, run_at, started_at, finished_at, case when status = 'failed' then error_code end) as state
from listener.sessions
"""

owners = st.sampled_from(OWNERS)
workers = st.sampled_from(WORKERS)
kinds = st.sampled_from([("headshot",), ("portrait",), ("headshot", "portrait"), ("portrait", "headshot")])
holders = st.none() | workers
picks = st.integers(0, 7)
chosen = st.lists(picks, min_size=1, max_size=4)
leases = st.sampled_from([10, 30, 300])
verdicts = st.tuples(
    st.sampled_from(SETTLEMENTS), st.sampled_from([0, 5, 60]), st.sampled_from([None, None, -1, 0, 2, 5])
)
"""Function, delay_s, refund."""


async def attempted(step: Coroutine[Any, Any, T]) -> T | str:
    """The answer, or the SQLSTATE of the refusal."""
    try:
        return await step
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)


steps = st.one_of(
    st.tuples(st.just("time_passes"), st.sampled_from([1, 5, 11, 31, 100, 361])),
    st.tuples(st.just("a_user_inserts"), owners, st.integers(1, 4)),
    st.tuples(
        st.just("an_application_inserts"), st.sampled_from(sorted(TABLES)), st.lists(owners, min_size=1, max_size=6)
    ),
    st.tuples(st.just("a_finished_row_is_imported"), owners),
    st.tuples(st.just("credits_are_granted"), owners, st.sampled_from([1, 20]), st.sampled_from("abcd")),
    st.tuples(st.just("an_owner_changes_his_plan"), owners, st.sampled_from(["free", "paid"])),
    st.tuples(st.just("a_worker_registers"), workers, leases),
    st.tuples(st.just("a_worker_claims"), workers, kinds, st.sampled_from([0, 1, 2, 3, 5, 12])),
    st.tuples(st.just("a_worker_works"), workers, kinds, st.sampled_from([1, 3, 11]), verdicts),
    st.tuples(st.just("a_worker_works"), workers, kinds, st.integers(1, 3), st.just(("retry_sessions", 0, None))),
    st.tuples(st.just("a_claim_is_repeated"), picks, holders, kinds, st.integers(1, 3)),
    st.tuples(st.just("attempts_are_settled"), verdicts, chosen, st.none(), st.just(False)),
    st.tuples(st.just("attempts_are_settled"), verdicts, chosen, holders, st.booleans()),
    st.tuples(st.just("an_attempt_reports"), picks, holders, st.integers(0, 100)),
    st.tuples(st.just("an_attempt_saves"), picks, holders, st.sampled_from(["image", "second"])),
    st.tuples(st.just("a_worker_beats"), workers, st.sets(picks), st.sets(picks, max_size=2)),
    st.tuples(st.just("the_sweep_comes")),
    st.tuples(st.just("a_user_cancels"), st.none() | owners, picks),
    st.tuples(st.just("rows_are_deleted"), st.sets(picks, min_size=1, max_size=2)),
    st.tuples(st.just("a_refund_is_asked_for"), picks),
)
"""One rule for all: of separate ones Hypothesis leaves some out in each example, and then mostly nothing is claimed."""


class Machine(RuleBasedStateMachine):
    """Does each step to the model and to the database, and compares the answers."""

    project: ClassVar[Project]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(START, TABLES)
        self.claims: list[tuple[UUID, UUID]] = []
        self.held: list[tuple[UUID, int, UUID]] = []
        self.rows = 0

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    def new_row(self) -> UUID:
        self.rows += 1
        return UUID(int=10_000 + self.rows)

    def item(self, row: UUID, attempt: int, **fields: Any) -> Row:
        session = self.model.sessions.get(row)
        return {"session": str(session.id if session else row), "attempt": attempt, **fields}

    async def call(self, function: str, worker: UUID, items: Sequence[Row]) -> list[Outcome]:
        found = await self.project.rpc(function, p_worker=worker, p_items=list(items))
        return [(row["outcome"], row["code"], row["cancel_requested"]) for row in found]

    @initialize(lease_s=leases, rows=st.lists(owners, min_size=1, max_size=6))
    def begin(self, lease_s: int, rows: list[UUID]) -> None:
        async def empty() -> None:
            await self.project.connection.execute(EMPTY)
            await self.project.set_clock(self.model.now)

        self.run(empty())
        self.a_worker_registers(WORKERS[0], lease_s)
        self.insert("headshot", [(self.new_row(), owner) for owner in rows], None)

    @rule(step=steps)
    def next(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        needed = {"a_claim_is_repeated": self.claims, "an_attempt": self.held, "attempts": self.held}
        if all(there for start, there in needed.items() if name.startswith(start)):
            getattr(self, name)(*arguments)

    def time_passes(self, seconds: int) -> None:
        self.model.now += timedelta(seconds=seconds)
        self.run(self.project.set_clock(self.model.now))

    def a_user_inserts(self, owner: UUID, count: int) -> None:
        self.insert("headshot", [(self.new_row(), owner) for _ in range(count)], owner)

    def an_application_inserts(self, kind: str, given: list[UUID]) -> None:
        self.insert(kind, [(self.new_row(), owner) for owner in given], None)

    def insert(self, kind: str, rows: list[tuple[UUID, UUID]], user: UUID | None) -> None:
        async def insert() -> None:
            async with self.project.acting("authenticated" if user else "service_role", user) as connection:
                await connection.execute(
                    f"insert into {TABLES[kind]} (id, user_id, prompt) "
                    "select row, owner, 'p' from unnest($1::uuid[], $2::uuid[]) as given (row, owner)",
                    *zip(*rows, strict=True),
                )

        answer = self.run(attempted(insert()))
        assert answer == (None if self.model.insert(kind, rows) else "PT402")
        for row in self.run(self.project.rows("select id, row_id from listener.sessions")):
            self.model.sessions[row["row_id"]].id = row["id"]

    def a_finished_row_is_imported(self, owner: UUID) -> None:
        async def load() -> None:
            async with self.project.acting("service_role") as connection:
                await connection.execute(
                    "insert into public.headshot_sessions (id, user_id, prompt, status) "
                    "values ($1, $2, 'p', 'completed')",
                    self.new_row(),
                    owner,
                )

        self.run(load())

    def credits_are_granted(self, owner: UUID, amount: int, key: str) -> None:
        given = self.project.answer("grant_credits", p_owner=owner, p_amount=amount, p_key=key, p_reason="r")
        answer = self.run(attempted(given))
        assert (answer["outcome"] if isinstance(answer, dict) else answer) == self.model.grant(owner, amount, key)

    def an_owner_changes_his_plan(self, owner: UUID, plan: str) -> None:
        if owner in self.model.accounts:
            self.model.accounts[owner].plan = plan
            change = "update listener.accounts set plan = $2 where owner = $1"
            self.run(self.project.rows(change, owner, plan))

    def a_worker_registers(self, worker: UUID, lease_s: int) -> None:
        self.run(self.project.worker(lease_s, TABLES, worker))
        self.model.register(worker, lease_s)

    def a_worker_claims(self, worker: UUID, wanted: tuple[str, ...], limit: int) -> None:
        self.claims.append((worker, UUID(int=1_000_000 + len(self.claims))))
        self.claim(*self.claims[-1], wanted, limit)

    def a_worker_works(self, worker: UUID, wanted: tuple[str, ...], limit: int, verdict: Verdict) -> None:
        self.a_worker_registers(worker, 30)
        before = len(self.held)
        self.a_worker_claims(worker, wanted, limit)
        self.settle(verdict, worker, [(row, attempt) for row, attempt, _ in self.held[before:]])

    def a_claim_is_repeated(self, pick: int, worker: UUID | None, wanted: tuple[str, ...], limit: int) -> None:
        claimer, claim = self.claims[-1 - pick % len(self.claims)]
        self.claim(worker or claimer, claim, wanted, limit)

    def claim(self, worker: UUID, claim: UUID, wanted: tuple[str, ...], limit: int) -> None:
        found = self.run(self.project.claim(worker, limit, claim, *wanted))
        expected = self.model.claim(worker, claim, wanted, limit)
        assert [(row["row_id"], row["attempt"]) for row in found] == [(s.row, s.attempt) for s in expected]
        for row, session in zip(found, expected, strict=True):
            assert (row["session"], row["kind"], row["owner"]) == (session.id, session.kind, session.owner)
            assert (row["failures"], row["max_attempts"]) == (session.failures, 3)
            suffix = f".{session.attempt}" if session.attempt > 1 else ""
            assert row["path_prefix"] == f"{session.owner}/{session.row}{suffix}"
        self.held += [(session.row, session.attempt, worker) for session in expected]

    def attempts_are_settled(self, verdict: Verdict, chosen: list[int], worker: UUID | None, has_unknown: bool) -> None:
        attempts = [self.held[-1 - pick % len(self.held)] for pick in chosen]
        pairs = [(row, attempt) for row, attempt, _ in attempts] + [(UUID(int=7), 1)] * has_unknown
        self.settle(verdict, worker or attempts[0][2], pairs)

    def settle(self, verdict: Verdict, worker: UUID, pairs: list[tuple[UUID, int]]) -> None:
        function, delay_s, refund = verdict
        items = [self.item(*pair, code="x", result={"seed": 1}, delay_s=delay_s, refund=refund) for pair in pairs]
        for _ in range(2):  # the second time as if the first answer had been lost
            answers = self.run(self.call(function, worker, items))
            assert answers == self.model.settle(function, worker, pairs, delay_s, refund)

    def an_attempt_reports(self, pick: int, worker: UUID | None, percent: int) -> None:
        row, attempt, holder = self.held[-1 - pick % len(self.held)]
        item = self.item(row, attempt, done=percent, total=100, note="step")
        answers = self.run(self.call("report_progress", worker or holder, [item]))
        assert answers == self.model.report(worker or holder, row, attempt, percent)

    def an_attempt_saves(self, pick: int, worker: UUID | None, name: str) -> None:
        row, attempt, holder = self.held[-1 - pick % len(self.held)]
        fields = {"name": name, "bucket": "b", "path": f"{row}/{name}", "size_bytes": 1, "content_type": "image/png"}
        answers = self.run(self.call("add_artifacts", worker or holder, [self.item(row, attempt, **fields)]))
        assert answers == self.model.add_artifact(worker or holder, row, attempt, name)

    def a_worker_beats(self, worker: UUID, listed: set[int], explained: set[int]) -> None:
        running = [(row, attempt) for n, (row, attempt, _) in enumerate(reversed(self.held)) if n in listed]
        claims = [claim for n, (_, claim) in enumerate(reversed(self.claims)) if n in explained]
        pulse = self.run(
            self.project.answer(
                "heartbeat", p_worker=worker, p_running=[self.item(*pair) for pair in running], p_open_claims=claims
            )
        )
        known, cancel, lost = self.model.beat(worker, running, claims)
        ids = {str(session.id): session.row for session in self.model.sessions.values()}
        assert pulse["known"] is known
        assert {ids[session] for session in pulse["cancel"]} == cancel
        assert Counter((ids[item["session"]], item["attempt"]) for item in pulse["lost"]) == Counter(lost)

    def the_sweep_comes(self) -> None:
        swept = self.run(self.project.answer("sweep_sessions"))
        assert swept == swept | self.model.sweep()

    def a_user_cancels(self, stranger: UUID | None, pick: int) -> None:
        session = self.some_session(pick)
        user = stranger or session.owner

        async def cancel() -> str:
            async with self.project.acting("authenticated", user) as connection:
                return str((await connection.fetchval("select public.cancel_session($1)", session.row))["outcome"])

        assert self.run(attempted(cancel())) == self.model.cancel(user, session.row)

    def rows_are_deleted(self, chosen: set[int]) -> None:
        rows = {self.some_session(pick).row for pick in chosen}

        async def delete() -> None:
            async with self.project.acting("service_role") as connection:
                for table in TABLES.values():
                    await connection.execute(f"delete from {table} where id = any($1)", rows)

        self.run(delete())
        self.model.delete(rows)

    def a_refund_is_asked_for(self, pick: int) -> None:
        session = self.some_session(pick)

        answer = self.run(attempted(self.project.answer("refund_session", p_session=session.id)))
        is_refunded = session.status in ("failed", "cancelled")
        assert answer == ({"refunded": 0, "outcome": "already"} if is_refunded else "SL003")

    def some_session(self, pick: int) -> Session:
        return list(self.model.sessions.values())[-1 - pick % len(self.model.sessions)]

    @invariant()
    def the_database_is_as_the_model_says(self) -> None:
        self.run(self.compare())

    async def compare(self) -> None:
        model, project = self.model, self.project
        await expect_invariants(project)
        states = {row["row_id"]: tuple(row["state"]) for row in await project.rows(STATE)}
        assert states == {session.row: session.state() for session in model.sessions.values()}
        balances = await project.rows("select owner, balance from listener.accounts")
        assert {row["owner"]: row["balance"] for row in balances} == {o: a.balance for o, a in model.accounts.items()}
        booked = await project.rows(
            "select entry.owner, entry, amount, row_id from listener.ledger as entry "
            "left join listener.sessions as session on session.id = entry.session"
        )
        assert Counter(tuple(row.values()) for row in booked) == model.ledger
        told = await project.rows(
            "select row_id, event, occurrence from listener.events as event "
            "join listener.sessions as session on session.id = event.session"
        )
        assert Counter(tuple(row.values()) for row in told) == model.events
        times = await project.rows("select * from listener.virtual_times where kind = any($1)", list(TABLES))
        assert {row["kind"]: row["virtual_time"] for row in times} == model.virtual_times
        assert await project.answer("worker_demand") == model.demand()


def drive(url: str) -> None:
    """Run the machine on a database, in an event loop of its own."""
    with asyncio.Runner() as runner:
        connection = runner.run(connect(url))
        try:
            project = Project(connection)
            runner.run(project.connection.execute(SECOND_TABLE + DEARER))
            bound = type("BoundMachine", (Machine,), {"project": project, "runner": runner})
            profile = settings(
                max_examples=SOAK or 40,
                stateful_step_count=100 if SOAK else 40,
                # The same examples in every run of the suite; `make soak` and `make mutants` look for new ones.
                derandomize=not SOAK and "LISTENER_TEST_MIGRATIONS" not in os.environ,
                deadline=None,
                database=None,
                phases=(Phase.generate,) if "LISTENER_TEST_MIGRATIONS" in os.environ else tuple(Phase),
                suppress_health_check=list(HealthCheck),
            )
            run_state_machine_as_test(bound, settings=profile)
        finally:
            runner.run(connection.close())


@pytest.mark.timeout(86_400 if SOAK else 300)
async def test_any_sequence_of_calls_keeps_money_states_and_turns_as_the_model_says(database_url: str) -> None:
    # In a thread: Hypothesis is synchronous, and the machine needs a loop that it may start and stop.
    await asyncio.to_thread(drive, database_url)

"""The promises of the SQL in plain Python: money, states and turns of every session, and what each call must answer.

Knows no SQL. The state machine test does the same to this model and to the database, and compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

OPEN = ("queued", "delayed", "processing")
WELCOME = 10
PLANS = {"free": (1.0, 0.0), "paid": (2.0, 1000.0)}
"""weight and head start."""
COSTS = {"headshot": 1, "portrait": 3}
"""A cancelled try-on gives back what was not delivered; a headshot all."""
TIME_LIMIT_S, GRACE_S, MAX_ATTEMPTS, DRIFT = 300, 60, 3, 0.05
SETTLED = {
    "complete_sessions": ("completed",),
    "fail_sessions": ("failed",),
    "cancel_sessions": ("cancelled",),
    "retry_sessions": ("queued", "delayed", "failed", "cancelled"),
    "release_sessions": ("queued", "cancelled"),
    "report_progress": (),
    "add_artifacts": (),
}
Outcome = tuple[str, str | None, bool]


@dataclass(slots=True)
class Account:
    """One owner's credits and plan."""

    balance: int = 0
    plan: str = "free"
    last_tags: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Worker:
    """One worker's lease."""

    lease_s: int
    lease_until: datetime
    beats: int = 0
    is_expired: bool = False


@dataclass(slots=True)
class Session:
    """One paid request."""

    row: UUID
    kind: str
    owner: UUID
    seq: int
    start_tag: float
    fair_tag: float
    status: str = "queued"
    attempt: int = 0
    failures: int = 0
    worker: UUID | None = None
    claim: UUID | None = None
    claimed_beat: int = 0
    is_cancel_requested: bool = False
    progress: int = 0
    run_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    artifacts: set[tuple[int, str]] = field(default_factory=set)
    id: UUID | None = None

    @property
    def cost(self) -> int:
        """Credits."""
        return COSTS[self.kind]

    def cancel_share(self, undelivered: int | None) -> int:
        """What the cancel of a running session gives back."""
        if self.kind == "headshot":
            return self.cost
        if undelivered is not None:
            return min(max(undelivered, 0), self.cost)
        has_artifact = any(attempt == self.attempt for attempt, _ in self.artifacts)
        return self.cost - self.cost * self.progress // 100 if has_artifact else self.cost

    @property
    def turn(self) -> tuple[float, int]:
        """What the claim sorts by."""
        return self.fair_tag, self.seq

    def state(self) -> tuple[object, ...]:
        """What the database must say of it."""
        return (
            self.kind,
            self.owner,
            self.status,
            self.attempt,
            self.failures,
            self.worker,
            self.is_cancel_requested,
            self.progress,
            self.start_tag,
            self.fair_tag,
            self.run_at,
            self.started_at,
            self.finished_at,
            self.error if self.status == "failed" else None,
        )


class Model:
    """What the database must be after the same calls."""

    def __init__(self, now: datetime, kinds: Iterable[str]) -> None:
        self.now = now
        self.virtual_times = dict.fromkeys(kinds, 0.0)
        self.last_claims = dict.fromkeys(self.virtual_times, 0)
        self.accounts: dict[UUID, Account] = {}
        self.grants: dict[str, tuple[UUID, int]] = {}
        self.workers: dict[UUID, Worker] = {}
        self.sessions: dict[UUID, Session] = {}
        self.ledger: Counter[tuple[UUID, str, int, UUID | None]] = Counter()
        self.events: Counter[tuple[UUID, str, str]] = Counter()

    def balance(self, owner: UUID) -> int:
        """An owner's credits; before the first session, the welcome grant."""
        return self.accounts[owner].balance if owner in self.accounts else WELCOME

    def grant(self, owner: UUID, amount: int, key: str) -> str:
        """Give credits once per key: the outcome, or the SQLSTATE when the key was used for another grant."""
        if self.grants.get(key, (owner, amount)) != (owner, amount):
            return "SL003"
        self._open(owner)
        if key in self.grants:
            return "already"
        self.grants[key] = (owner, amount)
        self._book(owner, "grant", amount, None)
        return "applied"

    def insert(self, kind: str, rows: Sequence[tuple[UUID, UUID]]) -> bool:
        """Register (row, owner) pairs in one statement; False when one owner cannot pay: then nothing happened."""
        owners = Counter(owner for _, owner in rows)
        if any(self.balance(owner) < count * COSTS[kind] for owner, count in owners.items()):
            return False
        for owner in owners:
            self._open(owner)
        virtual_time = self.virtual_times[kind]
        first = {o: max(virtual_time, self.accounts[o].last_tags.get(kind, virtual_time)) for o in owners}
        nth: Counter[UUID] = Counter()
        for row, owner in rows:
            weight, head_start = PLANS[self.accounts[owner].plan]
            start = first[owner] + nth[owner] / weight
            self.sessions[row] = Session(row, kind, owner, len(self.sessions), start, start - head_start)
            nth[owner] += 1
            self._book(owner, "charge", -COSTS[kind], row)
            self._tell(self.sessions[row], "generation_queued")
        for owner, count in owners.items():
            weight, _ = PLANS[self.accounts[owner].plan]
            self.accounts[owner].last_tags[kind] = first[owner] + count / weight
        return True

    def register(self, worker: UUID, lease_s: int) -> None:
        """Start a lease, or start it again."""
        until = self.now + timedelta(seconds=lease_s)
        beats = self.workers[worker].beats + 1 if worker in self.workers else 0
        self.workers[worker] = Worker(lease_s, until, beats)

    def claim(self, worker: UUID, claim: UUID, kinds: Sequence[str], limit: int) -> list[Session]:
        """Start attempts of the next sessions; the same claim again gives the same."""
        again = [s for s in self._held(worker) if s.claim == claim]
        known = self.workers.get(worker)
        if again or known is None or known.is_expired or known.lease_until <= self.now:
            return sorted(again, key=lambda session: session.turn)
        due = []
        for ordinal, kind in enumerate(kinds):
            queued = sorted((s for s in self._with("queued") if s.kind == kind), key=lambda session: session.turn)
            due += [(rank, self.last_claims[kind], ordinal, session) for rank, session in enumerate(queued[:limit])]
        taken = [session for *_, session in sorted(due, key=lambda place: place[:3])[:limit]]
        for place, session in enumerate(taken, max(self.last_claims.values()) + 1):
            self.last_claims[session.kind] = place
        for session in taken:
            session.status, session.worker, session.claim = "processing", worker, claim
            session.attempt += 1
            session.claimed_beat, session.run_at, session.progress = known.beats, None, 0
            session.started_at = self.now
            self._tell(session, "generation_started", str(session.attempt))
        for kind in {session.kind for session in taken}:
            tags = [session.start_tag for session in taken if session.kind == kind]
            self.virtual_times[kind] = max(self.virtual_times[kind] + DRIFT * len(tags), *tags)
        return taken

    def fence(self, function: str, worker: UUID, items: Sequence[tuple[UUID, int]]) -> list[Outcome]:
        """What an array call answers for each (row, attempt)."""
        answers: list[Outcome] = []
        for n, (row, attempt) in enumerate(items):
            session = self.sessions.get(row)
            if session is None:
                answers.append(("refused", "SL002", False))
                continue
            asked = session.is_cancel_requested
            if session.worker != worker or session.attempt != attempt:
                answers.append(("refused", "SL001", asked))
            elif session.status != "processing" and session.status not in SETTLED[function]:
                answers.append(("refused", "SL003", asked))
            elif session.status == "processing" and (row, attempt) not in items[:n]:
                answers.append(("applied", None, asked))
            else:
                answers.append(("already", None, asked))
        return answers

    def settle(
        self,
        function: str,
        worker: UUID,
        items: Sequence[tuple[UUID, int]],
        delay_s: int = 0,
        refund: int | None = None,
    ) -> list[Outcome]:
        """Do what an array call does to the attempts that the fence lets through."""
        answers = self.fence(function, worker, items)
        applied = [
            self.sessions[row] for (row, _), (outcome, *_) in zip(items, answers, strict=True) if outcome == "applied"
        ]
        for session in applied:
            if function == "complete_sessions":
                session.progress = 100
                self._end(session, "completed", refund=min(max(refund or 0, 0), session.cost))
            elif function == "fail_sessions":
                session.failures += 1
                self._end(session, "failed", "x")
            elif function == "cancel_sessions":
                self._end(session, "cancelled", refund=session.cancel_share(refund))
            elif function == "retry_sessions":
                session.error, session.run_at = "x", self.now + timedelta(seconds=delay_s)
                self._requeue(session, is_failure=True)
            elif function == "release_sessions":
                self._requeue(session, is_failure=False)
        return answers

    def report(self, worker: UUID, row: UUID, attempt: int, percent: int) -> list[Outcome]:
        """Show progress."""
        answers = self.fence("report_progress", worker, [(row, attempt)])
        if answers[0][0] == "applied":
            self.sessions[row].progress = percent
        return answers

    def add_artifact(self, worker: UUID, row: UUID, attempt: int, name: str) -> list[Outcome]:
        """Record a file; the same name of the same attempt again is no new event."""
        answers = self.fence("add_artifacts", worker, [(row, attempt)])
        if answers[0][0] == "applied" and (attempt, name) not in self.sessions[row].artifacts:
            self.sessions[row].artifacts.add((attempt, name))
            self._tell(self.sessions[row], "image_stored", f"{attempt}/{name}")
        return answers

    def beat(
        self, worker: UUID, running: Sequence[tuple[UUID, int]], claims: Sequence[UUID]
    ) -> tuple[bool, set[UUID], list[tuple[UUID, int]]]:
        """Renew a lease: (known, rows to cancel, attempts lost)."""
        known = self.workers.get(worker)
        if known is not None and not known.is_expired:
            known.beats += 1
            known.lease_until = self.now + timedelta(seconds=known.lease_s)
            for session in self._held(worker):
                is_listed = (session.row, session.attempt) in running or session.claim in claims
                if not is_listed and session.claimed_beat < known.beats - 1:
                    self._requeue(session, is_failure=False)
                    session.worker = None
            self._promote()
        held = self._held(worker)
        mine = {(session.row, session.attempt) for session in held}
        return (
            known is not None and not known.is_expired,
            {session.row for session in held if session.is_cancel_requested},
            [item for item in running if item not in mine],
        )

    def sweep(self) -> dict[str, int]:
        """Take from lost workers what they hold, end what is overdue, promote what is due."""
        lost = {
            key
            for key, worker in self.workers.items()
            if worker.lease_until <= self.now and (not worker.is_expired or self._held(key))
        }
        touched = []
        for session in self._with("processing"):
            if session.worker in lost:
                session.run_at, session.error = None, "worker_lost"
                self._requeue(session, is_failure=True)
                session.worker = None
                touched.append(session)
        for worker in lost:
            self.workers[worker].is_expired = True
        limit = timedelta(seconds=2 * TIME_LIMIT_S + GRACE_S)
        for session in self._with("processing"):
            if session.started_at and session.started_at + limit <= self.now:
                self._end(session, "failed", "time_limit")
                session.worker = None
                touched.append(session)
        failed = sum(session.status == "failed" for session in touched)
        return {
            "rescued": len(touched) - failed,
            "failed": failed,
            "promoted": self._promote(),
            "expired_workers": len(lost),
        }

    def cancel(self, owner: UUID, row: UUID) -> str:
        """A user cancels: the outcome, or the SQLSTATE."""
        session = self.sessions.get(row)
        if session is None or session.owner != owner:
            return "SL002"
        if session.status in ("completed", "failed"):
            return "SL003"
        if session.status == "cancelled" or session.is_cancel_requested:
            return "already"
        session.is_cancel_requested = True
        if session.status == "processing":
            return "requested"
        session.run_at = None
        self._end(session, "cancelled")
        return "cancelled"

    def delete(self, rows: Iterable[UUID]) -> None:
        """Visible rows go: their open sessions are cancelled."""
        for row in rows:
            session = self.sessions[row]
            if session.status in OPEN:
                share = session.cancel_share(None) if session.status == "processing" else session.cost
                session.worker, session.run_at, session.is_cancel_requested = None, None, True
                self._end(session, "cancelled", refund=share)

    def demand(self) -> int:
        """Sessions that need a worker now."""
        delayed = [s for s in self._with("delayed") if s.run_at and s.run_at <= self.now]
        return len(delayed) + len(self._with("queued")) + len(self._with("processing"))

    def _with(self, status: str) -> list[Session]:
        return [session for session in self.sessions.values() if session.status == status]

    def _held(self, worker: UUID) -> list[Session]:
        return [session for session in self._with("processing") if session.worker == worker]

    def _open(self, owner: UUID) -> None:
        if owner not in self.accounts:
            self.accounts[owner] = Account()
            self._book(owner, "grant", WELCOME, None)

    def _book(self, owner: UUID, entry: str, amount: int, row: UUID | None) -> None:
        self.accounts[owner].balance += amount
        self.ledger[owner, entry, amount, row] += 1

    def _tell(self, session: Session, event: str, occurrence: str = "") -> None:
        self.events[session.row, event, occurrence] += 1

    def _end(self, session: Session, status: str, error: str | None = None, refund: int | None = None) -> None:
        session.status, session.finished_at, session.error = status, self.now, error or session.error
        given_back = session.cost if refund is None else refund
        if given_back:
            self._book(session.owner, "refund", given_back, session.row)
        if status in ("failed", "completed"):
            self._tell(session, f"generation_{status}")

    def _requeue(self, session: Session, *, is_failure: bool) -> None:
        session.failures += is_failure
        run_at, session.run_at = session.run_at, None
        if session.is_cancel_requested:
            self._end(session, "cancelled")
        elif is_failure and session.failures >= MAX_ATTEMPTS:
            self._end(session, "failed")
        else:
            session.progress = 0
            session.status = "queued"
            if run_at is not None and run_at > self.now:
                session.status, session.run_at = "delayed", run_at

    def _promote(self) -> int:
        due = [session for session in self._with("delayed") if session.run_at and session.run_at <= self.now]
        for session in due:
            session.status, session.run_at = "queued", None
        return len(due)

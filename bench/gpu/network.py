"""A project that is 200 ms away: every call of the worker takes that long and succeeds. Keeps no rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from listener.contract import SavedArtifact, Session
from listener.ports import Attempt, Cost, Failure, Outcome

CALL_S = 0.2


class FarStore:
    """A queue of so many sessions, behind the latency."""

    def __init__(self, count: int, params: Mapping[str, Any]) -> None:
        self._left = count
        self._params = dict(params)
        self.settled: list[str] = []
        self.failures: list[Failure] = []
        self.done = asyncio.Event()
        self._count = count

    async def claim(self, _claim_id: UUID, _kinds: Sequence[str], limit: int) -> list[Session]:
        """Hand out what is left."""
        await asyncio.sleep(CALL_S)
        taken = min(limit, self._left)
        self._left -= taken
        return [self._session() for _ in range(taken)]

    async def report_progress(self, attempt: Attempt, _done: int, _total: int, _note: str) -> Outcome:
        """Take a report."""
        return await self._applied(attempt)

    async def add_artifact(self, attempt: Attempt, _artifact: SavedArtifact) -> Outcome:
        """Record a file."""
        return await self._applied(attempt)

    async def complete(
        self, attempt: Attempt, _result: Mapping[str, Any], _refund_credits: int = 0, _cost: Cost | None = None
    ) -> Outcome:
        """Settle."""
        return await self._settle(attempt, "completed")

    async def fail(self, attempt: Attempt, failure: Failure, _cost: Cost | None = None) -> Outcome:
        """Settle, and remember why."""
        self.failures.append(failure)
        return await self._settle(attempt, "failed")

    async def _settle(self, attempt: Attempt, status: str) -> Outcome:
        outcome = await self._applied(attempt)
        self.settled.append(status)
        if len(self.settled) == self._count:
            self.done.set()
        return outcome

    async def _applied(self, attempt: Attempt) -> Outcome:
        await asyncio.sleep(CALL_S)
        return Outcome(attempt.session, attempt.attempt, "applied")

    def _session(self) -> Session:
        owner, row_id = uuid4(), uuid4()
        return Session(
            id=uuid4(),
            kind="headshot",
            owner=owner,
            row_id=row_id,
            attempt=1,
            params=self._params,
            bucket="headshots",
            path_prefix=f"{owner}/{row_id}",
            request_id="bench",
            created_at=datetime.now(UTC),
            time_limit_s=300,
        )


class FarObjects:
    """Storage behind the latency."""

    async def put(self, _bucket: str, _path: str, _data: bytes, _content_type: str) -> None:
        """Take a file."""
        await asyncio.sleep(CALL_S)

    async def sign(self, bucket: str, path: str, _valid_s: int) -> str:
        """Sign a URL."""
        await asyncio.sleep(CALL_S)
        return f"https://storage.test/{bucket}/{path}"

"""The SessionStore over the SQL functions, through PostgREST: one method per function, one try per call.

Knows names and shapes of the RPCs; does not know when to call again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from supabase import AsyncClient

from listener.adapters.answers import (
    CLAIMED,
    OUTCOMES,
    SESSIONS,
    PermittedAnswer,
    PulseAnswer,
    RegisteredAnswer,
    SweptAnswer,
)
from listener.adapters.failures import translated
from listener.contract import SavedArtifact, Session
from listener.errors import StoreUnavailable
from listener.ports import Attempt, Cost, Failure, Outcome, Permitted, Pulse, Registered, Registration, Swept

Item = dict[str, Any]


class RpcSessionStore:
    """The worker RPCs of one worker. Raises: StoreUnavailable (call again), StoreRejected (do not)."""

    def __init__(self, client: AsyncClient, worker: UUID) -> None:
        self._client = client
        self._worker = str(worker)

    async def register(self, registration: Registration) -> Registered:
        """Introduce this worker, or renew what the database knows of it."""
        with translated("register_worker"):
            answer = await self._call(
                "register_worker",
                p_name=registration.name,
                p_kinds=list(registration.kinds),
                p_slots=registration.slots,
                p_devices=dict(registration.devices),
                p_version=registration.version,
                p_lease_s=max(1, round(registration.lease_s)),
            )
            return RegisteredAnswer.model_validate(answer).registered()

    async def heartbeat(
        self, running: Sequence[Attempt], open_claims: Sequence[UUID], state: str | None = None
    ) -> Pulse:
        """Renew the lease of everything that runs, and say what this worker does now."""
        with translated("heartbeat"):
            answer = await self._call(
                "heartbeat",
                p_running=[_fence(attempt) for attempt in running],
                p_open_claims=[str(claim) for claim in open_claims],
                **({} if state is None else {"p_state": state}),
            )
            return PulseAnswer.model_validate(answer).pulse()

    async def ping(self) -> None:
        """Beat as a worker that does not exist: it needs all that a heartbeat needs and writes nothing."""
        with translated("ping"):
            arguments: Item = {"p_worker": str(uuid4()), "p_running": [], "p_open_claims": [], "p_state": None}
            answer = (await self._client.rpc("heartbeat", arguments).execute()).data
            PulseAnswer.model_validate(answer)

    async def claim(self, claim_id: UUID, kinds: Sequence[str], limit: int) -> list[Session]:
        """Take the next due sessions; the same claim_id again gives the same ones."""
        with translated("claim_sessions"):
            answer = await self._call("claim_sessions", p_claim_id=str(claim_id), p_kinds=list(kinds), p_limit=limit)
            return [row.session_of() for row in CLAIMED.validate_python(answer)]

    async def report_progress(self, attempt: Attempt, done: int, total: int, note: str) -> Outcome:
        """Show how far an attempt is."""
        return await self._fenced("report_progress", attempt, {"done": done, "total": total, "note": note})

    async def add_artifact(self, attempt: Attempt, artifact: SavedArtifact) -> Outcome:
        """Record a stored file; the same name again replaces it."""
        fields = {name: getattr(artifact, name) for name in artifact.__slots__ if name != "facts"}
        fields |= {"expires_at": artifact.expires_at.isoformat()}
        if artifact.facts:
            fields["facts"] = dict(artifact.facts)
        return await self._fenced("add_artifacts", attempt, fields)

    async def complete(
        self, attempt: Attempt, result: Mapping[str, Any], refund_credits: int = 0, cost: Cost | None = None
    ) -> Outcome:
        """Settle as completed; what was not delivered is given back, at most the price."""
        refund = {"refund": refund_credits} if refund_credits else {}
        return await self._fenced("complete_sessions", attempt, {"result": dict(result), **refund, **_spent(cost)})

    async def fail(self, attempt: Attempt, failure: Failure, cost: Cost | None = None) -> Outcome:
        """Settle as failed, with the refund."""
        return await self._fenced("fail_sessions", attempt, _failure(failure) | _spent(cost))

    async def cancel(
        self,
        attempt: Attempt,
        result: Mapping[str, Any] | None = None,
        refund_credits: int | None = None,
        cost: Cost | None = None,
    ) -> Outcome:
        """Settle as cancelled; what goes back is the kind's to say, `refund_credits` is what was not delivered."""
        refund = {} if refund_credits is None else {"refund": refund_credits}
        return await self._fenced(
            "cancel_sessions", attempt, {**({"result": dict(result)} if result else {}), **refund, **_spent(cost)}
        )

    async def retry(self, attempt: Attempt, failure: Failure, delay_s: float, cost: Cost | None = None) -> Outcome:
        """Count a failure and queue the session again, or fail it when none is left."""
        return await self._fenced("retry_sessions", attempt, {**_failure(failure), "delay_s": delay_s, **_spent(cost)})

    async def release(self, attempt: Attempt, cost: Cost | None = None) -> Outcome:
        """Give the session back, uncounted."""
        return await self._fenced("release_sessions", attempt, _spent(cost))

    async def requested_cancels(self) -> list[UUID]:
        """The sessions of this worker whose owners want them cancelled."""
        with translated("requested_cancels"):
            return SESSIONS.validate_python(await self._call("requested_cancels"))

    async def sweep(self) -> Swept:
        """Rescue what dead workers held, promote what is due."""
        with translated("sweep_sessions"):
            answer = (await self._client.rpc("sweep_sessions", {}).execute()).data
            return SweptAnswer.model_validate(answer).swept()

    async def acquire_permits(self, kind: str, count: int) -> Permitted:
        """Ask for requests to the kind's providers."""
        with translated("acquire_permits"):
            answer = await self._call("acquire_permits", p_kind=kind, p_count=count)
            return PermittedAnswer.model_validate(answer).permitted()

    async def _fenced(self, function: str, attempt: Attempt, fields: Mapping[str, Any]) -> Outcome:
        with translated(function):
            answer = await self._call(function, p_items=[{**_fence(attempt), **fields}])
            outcomes = [row.outcome_of() for row in OUTCOMES.validate_python(answer)]
        if len(outcomes) != 1:
            raise StoreUnavailable(f"{function}: {len(outcomes)} answers to one item")
        return outcomes[0]

    async def _call(self, function: str, **arguments: Any) -> Any:
        return (await self._client.rpc(function, {"p_worker": self._worker, **arguments}).execute()).data


def _fence(attempt: Attempt) -> Item:
    return {"session": str(attempt.session), "attempt": attempt.attempt}


def _spent(cost: Cost | None) -> Item:
    parts = {} if cost is None else {"device_s": cost.device_s, "cost_usd": cost.cost_usd}
    return {name: value for name, value in parts.items() if value is not None}


def _failure(failure: Failure) -> Item:
    return {"code": failure.code, "message": failure.message, "details": dict(failure.details)}

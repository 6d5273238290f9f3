"""Writes a verdict exactly once, however often the answer is lost.

Knows which store call writes which verdict; does not know how the verdict came about.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from listener.contract import Log
from listener.engine.verdict import Cancel, Complete, Fail, Release, Retry, Verdict, WriteNothing
from listener.errors import GenerationFailed, StoreRejected, StoreUnavailable
from listener.ports import Attempt, Cost, Failure, Outcome, SessionStore


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a verdict: applied, already, refused, unwritten, or none."""

    outcome: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Settler:
    """Settles attempts. Units: patience_s is seconds, after which the heartbeat gives the session back."""

    store: SessionStore
    patience_s: float

    async def settle(self, attempt: Attempt, verdict: Verdict, log: Log, cost: Cost | None = None) -> Settled:
        """Write the verdict; the same one again is answered `already`, a moved fence writes nothing.

        `cost` is what the attempt came to.
        A verdict that the store rejects as malformed becomes a failure, so that the session ends and is refunded.
        """
        if isinstance(verdict, WriteNothing):
            return Settled("none")
        try:
            return await self._repeat(attempt, verdict, cost)
        except StoreUnavailable as error:
            log.error("settlement_given_up", error=str(error))
            return Settled("unwritten")
        except StoreRejected as error:
            log.error("settlement_rejected", error=str(error), verdict=type(verdict).__name__)
            return await self._fail_instead(attempt, verdict, log, cost)

    async def _fail_instead(self, attempt: Attempt, verdict: Verdict, log: Log, cost: Cost | None) -> Settled:
        if isinstance(verdict, Fail) and not verdict.failure.details:
            return Settled("unwritten")
        plain = Fail(Failure(GenerationFailed.code, GenerationFailed.public_message))
        return await self.settle(attempt, plain, log, cost)

    async def _repeat(self, attempt: Attempt, verdict: Verdict, cost: Cost | None) -> Settled:
        async for trial in AsyncRetrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_delay(self.patience_s),
            reraise=True,
        ):
            with trial:
                outcome = await self._write(attempt, verdict, cost)
        return Settled(outcome.outcome, outcome.code)

    async def _write(self, attempt: Attempt, verdict: Verdict, cost: Cost | None) -> Outcome:
        match verdict:
            case Complete(result, refund_credits):
                return await self.store.complete(attempt, result, refund_credits, cost)
            case Fail(failure):
                return await self.store.fail(attempt, failure, cost)
            case Retry(failure, delay_s):
                return await self.store.retry(attempt, failure, delay_s, cost)
            case Cancel(result, undelivered):
                return await self.store.cancel(attempt, result, undelivered, cost)
            case Release() | WriteNothing():  # pragma: no branch - mypy sees that there is no other verdict
                return await self.store.release(attempt, cost)

"""One attempt from claim to settlement, as a list of named steps.

validate -> run under the time limit -> verdict -> settle -> report. Knows the contract and the ports; knows no kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel

from listener.contract import Handler, Log, RetryPolicy, Session
from listener.engine.context import AttemptContext, Outside
from listener.engine.failure import ending_of
from listener.engine.progress import CLOSE_S
from listener.engine.settle import Settled, Settler
from listener.engine.slots import Running
from listener.engine.validation import validated
from listener.engine.verdict import Cancel, Complete, Delays, Verdict, verdict_of
from listener.errors import AttemptFailure, AttemptInterrupted, Draining, TimeLimit

Ending = AttemptFailure | AttemptInterrupted | None
"""How the handler ended; None is well."""


@dataclass(frozen=True, slots=True)
class AttemptRunner:
    """Runs attempts of the kinds it has handlers for."""

    handlers: Mapping[str, Handler[Any]]
    outside: Outside
    settler: Settler
    delays: Delays = field(default_factory=Delays)

    async def run(self, session: Session, running: Running, log: Log) -> Settled:
        """Do one attempt. Raises nothing but asyncio.CancelledError: whatever happens is written to the row."""
        began = self.outside.clock.monotonic()
        context = AttemptContext(session, running.attempt, self.outside, running.interruption, log)
        log.info("attempt_started", failures=session.failures, waited_s=_waited_s(self.outside, session))
        ending = await self._with_progress(session, running, context)
        verdict = self._judge(session, context, ending)
        cost = context.spending.cost()
        settled = await self.settler.settle(running.attempt, verdict, log, cost)
        self.outside.on_cost(session.kind, cost.device_s, cost.cost_usd)
        took_s = {"duration_s": round(self.outside.clock.monotonic() - began, 3), "stages_s": context.stages.took_s}
        took_s |= {name: value for name, value in asdict(cost).items() if value is not None}
        self._report(log, verdict, settled, ending, took_s)
        return settled

    async def _with_progress(self, session: Session, running: Running, context: AttemptContext) -> Ending:
        """Run the handler with the progress writer beside it, and let a write under way end before settling."""
        async with asyncio.TaskGroup() as side:
            writer = side.create_task(context.writer.run())
            try:
                return await self._ending(session, running, context)
            finally:
                context.writer.close()
                await asyncio.wait({writer}, timeout=CLOSE_S)
                writer.cancel()

    async def _ending(self, session: Session, running: Running, context: AttemptContext) -> Ending:
        """Run the handler and tell how it ended; the only place that catches everything."""
        try:
            handler = self.handlers[session.kind]
            params = validated(handler, session)
            await self._under_limit(handler, session, params, running, context)
        except (AttemptFailure, AttemptInterrupted) as error:
            return error
        except Exception as error:
            context.log.error("handler_raised", exc_info=error)
            return ending_of(error)
        return None

    async def _under_limit(
        self, handler: Handler[Any], session: Session, params: BaseModel, running: Running, context: AttemptContext
    ) -> None:
        """Run the handler until it ends, is interrupted, or its time is up.

        Raises: what the handler raises; an interruption or TimeLimit instead of it when one of them ended it.
        """
        scope = asyncio.timeout(context.remaining_s())
        try:
            async with scope:
                with running.interruption.guard(scope), context.allowance.governing(scope):
                    await handler.run(session, params, context)
        except Exception as error:
            running.interruption.check()
            if scope.expired() and isinstance(error, TimeoutError):
                raise TimeLimit(details={"time_limit_s": session.time_limit_s}) from error
            raise
        try:
            running.interruption.check()
        except Draining:
            return  # the work is done: complete it instead of giving it away

    def _judge(self, session: Session, context: AttemptContext, ending: Ending) -> Verdict:
        if ending is None:
            return Complete(context.result, context.refund_credits or 0)
        policy = getattr(self.handlers.get(session.kind), "retry_policy", RetryPolicy.PATIENT)
        verdict = verdict_of(ending, session, policy, self.outside.clock.now(), self.delays)
        return Cancel(context.result, context.refund_credits) if isinstance(verdict, Cancel) else verdict

    def _report(self, log: Log, verdict: Verdict, settled: Settled, ending: Ending, took_s: Mapping[str, Any]) -> None:
        fields: dict[str, Any] = {
            "verdict": type(verdict).__name__,
            "settled": settled.outcome,
            "code": ending.code if ending else None,
            **took_s,
        }
        if ending is not None:
            fields |= {"error": str(ending), "details": ending.details}
        if isinstance(ending, AttemptFailure) and ending.__traceback__ is not None:
            fields["exc_info"] = ending  # the others were logged with their own traceback
        if settled.outcome == "refused":
            log.warning("lease_lost", refused_with=settled.code, **fields)
        else:
            log.info("attempt_settled", **fields)


def _waited_s(outside: Outside, session: Session) -> float:
    """How long the session waited; the row's time is the database's, so this is only good for the log."""
    return round((outside.clock.now() - session.created_at).total_seconds(), 3)

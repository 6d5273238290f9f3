"""Runs one group of runs on a child and tells each caller what becomes of its own.

Knows the protocol; does not know why a child is there or what comes after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from handlers.runtime.exits import suspect
from handlers.runtime.messages import DRAWN, Beat, Cancel, Done, Failed
from handlers.runtime.process import Child, ChildEndedError
from handlers.runtime.runs import Run, failure
from listener.contract import PipelineConfig
from listener.errors import ModelUnavailable, RuntimeDied

log = structlog.get_logger()


class Execution:
    """Runs that were sent to a child together; each leaves when it ends.

    Pixels take milliseconds to travel, so what is drawn may be followed by the next group while it is `arriving`; that
    is handed from one execution to the next.
    """

    def __init__(self, child: Child, group: Sequence[Run], step_timeout_s: float, arriving: dict[int, Run]) -> None:
        self._child = child
        self._group = tuple(group)
        self._open = {run.number: run for run in group}
        self._step_timeout_s = step_timeout_s
        self._arriving = arriving
        self.memory: dict[str, float] = {}
        self.out_of_memory = 0

    def holds(self, run: Run) -> bool:
        """Tell whether a run is still going on here."""
        return run.number in self._open

    def cancel(self, run: Run) -> None:
        """Ask the child to leave a run out from its next step on."""
        self._child.post(Cancel(run.number))

    async def complete(self, pipelines: Mapping[str, PipelineConfig], has_next: Callable[[], bool]) -> None:
        """See every run to its end; where somebody can begin at once, only until all is drawn.

        Raises: ChildEndedError, after those that were open were told.
        """
        for index, run in enumerate(self._group):
            joined = len(self._group) - 1 - index
            self._child.post(run.order(pipelines[run.request.kind], joined=joined))
        try:
            await self._follow(has_next)
        except TimeoutError as error:
            cause = f"no step for {self._step_timeout_s:g} s"
            words = await self._child.kill_and_wait()
            self._tell_died(words, cause)
            raise ChildEndedError(words, cause, "step_timeout") from error
        except ChildEndedError as error:
            self._tell_died(str(error), error.cause or suspect(str(error)))
            raise
        except asyncio.CancelledError:
            for run in self._lost():
                run.events.put_nowait(ModelUnavailable("the generator is closed"))
            raise

    def _lost(self) -> list[Run]:
        """Those whose end will not come any more."""
        lost = [*self._arriving.values(), *self._open.values()]
        self._arriving.clear()
        return lost

    async def _follow(self, has_next: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._step_timeout_s) as limit:
            while self._open or (self._arriving and not has_next()):
                message = await self._child.receive()
                if not isinstance(message, Beat | Done | Failed):
                    continue
                if run := self._open.get(message.run) or self._arriving.get(message.run):
                    limit.reschedule(loop.time() + self._step_timeout_s)
                    self._pass_on(run, message)

    def _pass_on(self, run: Run, message: Beat | Done | Failed) -> None:
        if isinstance(message, Beat):
            if message.note == DRAWN:
                self._arriving[run.number] = self._open.pop(run.number)
            else:
                run.events.put_nowait(message)
            return
        self._open.pop(run.number, None)
        self._arriving.pop(run.number, None)
        self.out_of_memory += int((message.facts if isinstance(message, Done) else message.details).get("ran_out", 0))
        session = str(run.request.session)
        if isinstance(message, Done):
            self.memory = message.facts.get("memory", {})
            log.info("generation_done", session=session, **message.facts)
            run.events.put_nowait(message)
            return
        if message.code == "cancelled":
            log.info("generation_cancelled", session=session)
        else:
            facts = {"code": message.code, "reason": message.message, **message.details}
            log.error("generation_failed", session=session, trace=message.trace or None, **facts)
        run.events.put_nowait(failure(message))

    def _tell_died(self, words: str, cause: str) -> None:
        details = {"exit": words, "cause": cause} if cause else {"exit": words}
        for run in self._lost():
            error = RuntimeDied(f"the generation process was lost: {words}", details=details)
            run.events.put_nowait(error)

"""The generator on this machine's own device: takes requests in, hands images out, lends the device.

Runs in the daemon and never imports torch. Knows the contract; does not know the queue or what a child is.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from handlers.runtime.keeper import Keeper
from handlers.runtime.line import Loan
from handlers.runtime.messages import Beat, Done
from handlers.runtime.options import options_text
from handlers.runtime.runs import Run
from listener.contract import IN_LINE, Generation, GenerationRequest, GeneratorConfig, GeneratorStatus, OnStep
from listener.errors import ModelUnavailable


class LocalGenerator:
    """A generator on this machine's own device, in a child process that may die without harm."""

    def __init__(self, config: GeneratorConfig) -> None:
        for pipeline in config.pipelines:
            options_text(pipeline.kind, pipeline.options)  # a wrong option is told before anything starts
        self._numbers = itertools.count(1)
        self._keeper = Keeper(config, self._numbers)
        self.device = config.pipelines[0].device if config.pipelines else "auto"
        self._stack = AsyncExitStack()
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to start the child and to load; a bad model shows in `status`, not here."""
        if self._keeping is None:
            group = await self._stack.enter_async_context(asyncio.TaskGroup())
            self._keeping = group.create_task(self._keeper.keep(group))

    async def close(self) -> None:
        """Stop the child; runs that wait fail."""
        self._keeper.readiness.closed = True
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeper.refuse_waiting("the generator is closed")
        await self._stack.aclose()

    def status(self) -> GeneratorStatus:
        """Tell what is loaded and whether the device can work, and if not, why in words."""
        status = self._keeper.readiness.status()
        more = {"ready": status.ready, "standby": self._keeper.standby.facts(), "waiting": len(self._keeper.line)}
        return replace(status, details={**status.details, **more})

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Make the images of one request, after those that asked before.

        Raises: AttemptFailure.
        """
        if reason := self._keeper.readiness.obstacle(request.kind):
            raise ModelUnavailable(reason, details={"kind": request.kind})
        run = Run(next(self._numbers), request)
        self._keeper.line.enter(run)
        self._keeper.wake()
        try:
            on_step(*IN_LINE)
            while True:
                event = await run.events.get()
                if isinstance(event, Beat):
                    if event.total:
                        on_step(event.done, event.total)
                elif isinstance(event, Done):
                    return run.generation(event)
                else:
                    raise event
        finally:
            self._give_up(run)

    @asynccontextmanager
    async def exclusive(self, borrower: str) -> AsyncIterator[str]:
        """Have the whole device for an engine of its own: what is loaded leaves it first and comes back after.

        Waits in line. Raises: ModelUnavailable when the generator is closed or its device in quarantine.
        """
        loan = Loan(borrower)
        if reason := self._keeper.readiness.obstacle():
            raise ModelUnavailable(reason)
        self._keeper.line.enter(loan)
        self._keeper.wake()
        try:
            await loan.granted.wait()
            if loan.refusal:
                raise ModelUnavailable(loan.refusal)
            yield self.device
        finally:
            loan.returned.set()
            self._keeper.line.leave(loan)

    def _give_up(self, run: Run) -> None:
        run.abandoned = True
        running = self._keeper.running
        if not self._keeper.line.leave(run) and running is not None and running.holds(run):
            running.cancel(run)

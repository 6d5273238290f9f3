"""Keeps one device's child alive and at work: starts it, loads it, feeds it, replaces it, rests it, lends its device.

Runs in the daemon and never imports torch. Knows the child and the line; does not know who asks.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import structlog

from handlers.runtime.backoff import Backoff, Reload
from handlers.runtime.casualties import Casualties
from handlers.runtime.environment import child_environment
from handlers.runtime.execution import Execution
from handlers.runtime.line import Line, Loan
from handlers.runtime.loading import Loading, LoadRefusedError
from handlers.runtime.process import Child, ChildEndedError
from handlers.runtime.readiness import Readiness
from handlers.runtime.runs import Run, may_join
from handlers.runtime.standby import Standby
from handlers.runtime.wear import Wear
from listener.contract import GeneratorConfig
from listener.errors import GenerationFailed

log = structlog.get_logger()


class Keeper:
    """The life of one device: one child at a time, one group of runs at a time."""

    def __init__(self, config: GeneratorConfig, numbers: itertools.count[int]) -> None:
        self._config = config
        self._pipelines = {pipeline.kind: pipeline for pipeline in config.pipelines}
        self.readiness = Readiness.of(config)
        self.line = Line(lambda first, other: may_join(first, other, self._casualties.is_suspect))
        self.running: Execution | None = None
        self._numbers = numbers
        self._recent: deque[Run] = deque(maxlen=32)
        self._child: Child | None = None
        self._respawn = Backoff()
        self._reload = Reload()
        self._casualties = Casualties()
        self._had_worked = False
        self.standby = Standby(self._spawn)
        self._group: asyncio.TaskGroup | None = None
        self._wear = Wear(config)
        self._arriving: dict[int, Run] = {}

    def wake(self) -> None:
        """Have a look at the line."""
        if self._child is not None:
            self._child.nudge()

    def refuse_waiting(self, reason: str, kind: str | None = None) -> None:
        """Send away who waits for a kind, or everybody."""
        self.line.refuse(reason, kind)

    async def keep(self, group: asyncio.TaskGroup) -> None:
        """Have a child at work, and a spare where one is wanted, until cancelled."""
        self._group = group
        spares = group.create_task(self.standby.keep())
        try:
            await self._keep_one()
        finally:
            spares.cancel()

    async def _keep_one(self) -> None:
        while True:
            if isinstance(loan := self.line.first(), Loan):
                await self._lend(loan)
            delay_s, cause = 0.0, ""
            try:
                child = await self.standby.take() or await self._spawn()
            except OSError as error:
                cause = "the runtime process could not be started"
                for kind in self._pipelines:
                    self._blame(kind, f"{cause}: {error}")
            else:
                cause = await self._live(child)
            if cause:
                delay_s = self._quarantine() or self._respawn.next_s(had_worked=self._had_worked)
            self.readiness.retry_in_s = delay_s
            await asyncio.sleep(delay_s)
            self.readiness.quarantine = ""

    async def _spawn(self, spare: Sequence[str] | None = None) -> Child:
        if self._group is None:
            raise OSError("the generator is not started")
        return await Child.spawn(child_environment(self._config), self._prompts, self._group, spare)

    async def _live(self, child: Child) -> str:
        """See one child through its life; tell why it ended, or nothing when it was time to."""
        self._child = child
        self._wear.begin()
        self.readiness.started(child.pid)
        log.info("runtime_started", pid=child.pid, from_standby=child.imported)
        cause, reason = "nothing could be loaded", "nothing_loaded"
        try:
            if retired := await self._serve(child):
                reason, words = retired
                log.info("runtime_retired", pid=child.pid, cause=words)
                cause = ""
        except ChildEndedError as error:
            cause, reason = error.cause or "it ended by itself", error.reason
            log.error("runtime_ended", pid=child.pid, exit=str(error), cause=cause, last_lines=child.last_lines)
        finally:
            self._child = None
            self._had_worked = self.readiness.any_loaded()
            self.readiness.ended(await child.close(), reason)
        return cause

    async def _serve(self, child: Child) -> tuple[str, str] | None:
        """Feed a child while it can serve anything; tell why it is retired, in one word and in a sentence."""
        loop = asyncio.get_running_loop()
        loading = Loading(child, self.readiness, self._config, self._numbers)
        await self._load_missing(loading)
        while self.readiness.can_serve():
            if (classes := self.readiness.standby_classes(self._config.standby)) is not None:
                self.standby.want(classes)
            # First: whoever waits for a load to end hears of nothing else.
            if self._arriving and (self._reload.at_s is not None or not self._is_next(self.line.first())):
                await self._execute(child, [])
                continue
            if self._reload.at_s is not None and self._reload.is_due(loop.time()):
                await self._load_missing(loading)
                continue
            match self.line.first():
                case Loan(borrower=borrower):
                    return "lent", f"the device is lent to {borrower}"
                case Run() as run:
                    await self._serve_first(child, loading, run)
                    if worn := self._wear.reason(self.readiness.memory):
                        await self._execute(child, [])
                        return "recycled", worn
                case None:
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(self._reload.at_s):
                            await child.receive()
        return None

    def _is_next(self, comer: Run | Loan | None) -> bool:
        """Tell whether somebody can begin on this child at once."""
        if not isinstance(comer, Run) or self._casualties.is_poison(comer.request.session):
            return False
        return self.readiness.is_resident(comer.request.kind)

    async def _serve_first(self, child: Child, loading: Loading, run: Run) -> None:
        kind = run.request.kind
        if not self.readiness.is_resident(kind):
            await self._load(loading, kind)
            self._reload.tried(asyncio.get_running_loop().time(), is_whole=not self.readiness.missing())
        elif self._casualties.is_poison(run.request.session):
            self.line.leave(run)
            run.events.put_nowait(GenerationFailed("this session ended two generation processes"))
        else:
            self.line.take()
            await self._execute(child, await self._company(run))

    async def _company(self, run: Run) -> list[Run]:
        """Find who shares this run's batch, where the pipeline's configuration asks for that."""
        pipeline = self._pipelines[run.request.kind]
        if pipeline.join_window_s <= 0:
            return [run]
        group = [run, *self.line.take_alike(run, pipeline.batch_max)]
        if sum(len(one.request.seeds) for one in group) < pipeline.batch_max:
            await asyncio.sleep(pipeline.join_window_s)
            taken = sum(len(one.request.seeds) for one in group[1:])
            group += self.line.take_alike(run, pipeline.batch_max - taken)
        return group

    async def _execute(self, child: Child, group: list[Run]) -> None:
        """Draw a group, and see to what is still on its way; with nobody in it, to that alone."""
        group = [run for run in group if not run.abandoned]
        if not group and not self._arriving:
            return
        self._recent.extend(group)
        began_s = asyncio.get_running_loop().time()
        self.running = Execution(child, group, self._config.step_timeout_s, self._arriving)
        try:
            await self.running.complete(self._pipelines, lambda: bool(group) and self._is_next(self.line.first()))
        except ChildEndedError:
            now_s = asyncio.get_running_loop().time()
            self._casualties.died_with({run.request.session for run in group}, now_s)
            raise
        finally:
            self.readiness.memory = self.running.memory or self.readiness.memory
            self.readiness.tally.out_of_memory += self.running.out_of_memory
            self.readiness.tally.busy_s += asyncio.get_running_loop().time() - began_s
            self.running = None
        self._wear.did(len(group))
        self._casualties.survived()
        self._respawn.reset()

    async def _load_missing(self, loading: Loading) -> None:
        """Load what is to be there from the start; what failed before last, and while others can work at its time."""
        now_s, failed = asyncio.get_running_loop().time, self.readiness.failing()
        for kind in [kind for kind in self.readiness.missing() if kind not in failed]:
            await self._load(loading, kind)
        if not self.readiness.can_serve() or self._reload.is_due(now_s()):
            for kind in failed:
                await self._load(loading, kind)
        self._reload.tried(now_s(), is_whole=not self.readiness.missing())

    async def _load(self, loading: Loading, kind: str) -> None:
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            await loading.load(kind)
        except LoadRefusedError as error:
            self._blame(kind, str(error))
            self._reload.failed(now_s() - began_s)
        except ChildEndedError as error:
            self._blame(kind, error.cause or f"the runtime was lost while it loaded {kind}: {error}")
            self._reload.failed(now_s() - began_s)
            self._reload.tried(now_s(), is_whole=False, ended_the_child=True)
            raise

    def _blame(self, kind: str, reason: str) -> None:
        self.readiness.failed(kind, reason)
        self.refuse_waiting(reason, kind)

    async def _lend(self, loan: Loan) -> None:
        self.line.take()
        self.readiness.lent_to = loan.borrower
        loan.granted.set()
        log.info("device_lent", borrower=loan.borrower)
        try:
            await loan.returned.wait()
        finally:
            self.readiness.lent_to = ""
        log.info("device_returned", borrower=loan.borrower)

    def _quarantine(self) -> float:
        """Let a device rest that ends one session after the other; tell for how long."""
        rest_s = self._casualties.quarantine_s(asyncio.get_running_loop().time())
        if rest_s:
            self.readiness.quarantine = f"the device is in quarantine for {rest_s:g} s: several sessions ended it"
            log.critical("device_quarantined", rest_s=rest_s)
            self.refuse_waiting(self.readiness.quarantine)
        return rest_s

    def _prompts(self) -> list[str | None]:
        return [prompt for run in self._recent for prompt in run.prompts]

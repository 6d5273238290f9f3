"""The generator that owns a child process: starts it, loads it, feeds it one run at a time, replaces it.

Runs in the daemon and never imports torch. Knows the contract and the child; does not know the queue.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from contextlib import AsyncExitStack, suppress

import structlog

from handlers.runtime.backoff import Backoff
from handlers.runtime.environment import child_environment
from handlers.runtime.messages import Beat, Cancel, Done, Failed
from handlers.runtime.process import Child, ChildEndedError
from handlers.runtime.readiness import KindState, Readiness
from handlers.runtime.runs import Run, failure, load_order
from listener.contract import (
    Generation,
    GenerationRequest,
    GeneratorConfig,
    GeneratorStatus,
    OnStep,
)
from listener.errors import AttemptFailure, ModelUnavailable, RuntimeDied

log = structlog.get_logger()


class LocalGenerator:
    """A generator on this machine's own device, in a child process that may die without harm."""

    def __init__(self, config: GeneratorConfig) -> None:
        self._config = config
        self._pipelines = {pipeline.kind: pipeline for pipeline in config.pipelines}
        self._readiness = Readiness({kind: KindState() for kind in self._pipelines})
        self._waiting: deque[Run] = deque()
        self._running: Run | None = None
        self._recent: deque[Run] = deque(maxlen=2)
        self._child: Child | None = None
        self._numbers = itertools.count(1)
        self._respawn = Backoff()
        self._reload = Backoff()
        self._stack = AsyncExitStack()
        self._supervisor: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to start the child and to load; a bad model shows in `status`, not here."""
        if self._supervisor is None:
            self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
            self._supervisor = self._group.create_task(self._supervise())

    async def close(self) -> None:
        """Stop the child; runs that wait fail."""
        self._readiness.closed = True
        if self._supervisor is not None:
            self._supervisor.cancel()
        self._refuse_waiting("the generator is closed")
        await self._stack.aclose()

    def status(self) -> GeneratorStatus:
        """Tell whether every kind is loaded, and if not, why in words."""
        return self._readiness.status()

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Make the images of one request, after those that asked before.

        Raises: AttemptFailure.
        """
        if reason := self._readiness.obstacle(request.kind):
            raise ModelUnavailable(reason, details={"kind": request.kind})
        run = Run(next(self._numbers), request)
        self._waiting.append(run)
        if self._child is not None:
            self._child.nudge()
        try:
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

    def _give_up(self, run: Run) -> None:
        if run in self._waiting:
            self._waiting.remove(run)
        elif run is self._running and self._child is not None:
            self._child.post(Cancel(run.number))

    def _refuse_waiting(self, reason: str, kind: str | None = None) -> None:
        for run in [run for run in self._waiting if kind in (None, run.request.kind)]:
            self._waiting.remove(run)
            run.events.put_nowait(ModelUnavailable(reason, details={"kind": run.request.kind}))

    async def _supervise(self) -> None:
        environment = child_environment(self._config)
        while True:
            had_worked = False
            try:
                child = await Child.spawn(environment, self._prompts, self._group)
            except OSError as error:
                for kind in self._pipelines:
                    self._blame(kind, f"the runtime process could not be started: {error}")
            else:
                had_worked = await self._live(child)
            delay_s = self._respawn.next_s(had_worked=had_worked)
            self._readiness.retry_in_s = delay_s
            await asyncio.sleep(delay_s)

    async def _live(self, child: Child) -> bool:
        """See one child through its life; tell whether it had loaded anything."""
        self._child = child
        self._readiness.started(child.pid)
        log.info("runtime_started", pid=child.pid)
        had_worked, cause = False, ""
        try:
            await self._serve(child)
        except ChildEndedError as error:
            cause = error.cause or "it ended by itself"
        finally:
            self._child = None
            had_worked = self._readiness.any_loaded()
            words = await child.close()
            self._readiness.ended(words)
        if cause:
            log.error("runtime_ended", pid=child.pid, exit=words, cause=cause, last_lines=child.last_lines)
        return had_worked

    async def _serve(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        reload_at = await self._load_missing(child)
        while self._readiness.any_loaded():
            if reload_at is not None and loop.time() >= reload_at:
                reload_at = await self._load_missing(child)
            elif self._waiting:
                await self._execute(child, self._waiting.popleft())
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(reload_at):
                        await child.receive()

    async def _load_missing(self, child: Child) -> float | None:
        """Load what is not loaded; tell when to try again, on the loop's clock."""
        for kind in self._readiness.missing():
            try:
                async with asyncio.timeout(self._config.load_timeout_s):
                    await self._load(child, kind)
            except TimeoutError as error:
                cause = f"{kind} was not loaded within {self._config.load_timeout_s:g} s"
                self._blame(kind, cause)
                raise ChildEndedError(await child.kill_and_wait(), cause) from error
            except ChildEndedError as error:
                self._blame(kind, f"the runtime was lost while it loaded {kind}: {error}")
                raise
        if not self._readiness.missing():
            self._reload.reset()
            return None
        return asyncio.get_running_loop().time() + self._reload.next_s(had_worked=False)

    async def _load(self, child: Child, kind: str) -> None:
        order = load_order(next(self._numbers), self._pipelines[kind], self._config)
        child.post(order)
        while True:
            match await child.receive():
                case Beat(run=order.run, note=note):
                    self._readiness.loading(kind, note)
                case Done(run=order.run, facts=facts):
                    self._readiness.loaded(kind, facts)
                    log.info("runtime_loaded", kind=kind, **facts)
                    return
                case Failed(run=order.run) as failed:
                    facts = {**failed.details, "kind": kind, "reason": failed.message, "trace": failed.trace or None}
                    log.error("runtime_load_failed", **facts)
                    self._blame(kind, failed.message)
                    return

    def _blame(self, kind: str, reason: str) -> None:
        self._readiness.failed(kind, reason)
        self._refuse_waiting(reason, kind)

    async def _execute(self, child: Child, run: Run) -> None:
        self._running = run
        self._recent.append(run)
        child.post(run.order(self._pipelines[run.request.kind]))
        try:
            run.events.put_nowait(await self._follow(child, run))
        except TimeoutError as error:
            cause = f"no step for {self._config.step_timeout_s:g} s"
            words = await child.kill_and_wait()
            run.events.put_nowait(_died(words, cause))
            raise ChildEndedError(words, cause) from error
        except ChildEndedError as error:
            run.events.put_nowait(_died(str(error), error.cause))
            raise
        except asyncio.CancelledError:
            run.events.put_nowait(ModelUnavailable("the generator is closed"))
            raise
        finally:
            self._running = None
        self._respawn.reset()

    async def _follow(self, child: Child, run: Run) -> Done | AttemptFailure:
        """Pass on the steps of a run until it ends. Raises: TimeoutError when it takes no step for too long."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._config.step_timeout_s) as limit:
            while True:
                match await child.receive():
                    case Beat(run=run.number) as beat:
                        limit.reschedule(loop.time() + self._config.step_timeout_s)
                        run.events.put_nowait(beat)
                    case Done(run=run.number) as done:
                        self._tell_done(run, done)
                        return done
                    case Failed(run=run.number) as failed:
                        self._tell_failed(run, failed)
                        return failure(failed)

    def _tell_done(self, run: Run, done: Done) -> None:
        self._readiness.memory = done.facts.get("memory", {})
        log.info("generation_done", session=str(run.request.session), **done.facts)

    def _tell_failed(self, run: Run, failed: Failed) -> None:
        session = str(run.request.session)
        if failed.code == "cancelled":
            log.info("generation_cancelled", session=session)
        else:
            facts = {"code": failed.code, "reason": failed.message, **failed.details}
            log.error("generation_failed", session=session, trace=failed.trace or None, **facts)

    def _prompts(self) -> list[str | None]:
        return [prompt for run in self._recent for prompt in run.prompts]


def _died(words: str, cause: str) -> RuntimeDied:
    details = {"exit": words, "cause": cause} if cause else {"exit": words}
    return RuntimeDied(f"the generation process was lost: {words}", details=details)

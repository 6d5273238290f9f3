"""Has a child load the pipeline of a kind, within its time, and notes what came of it.

Knows the protocol and the notebook; decides nothing about what happens next.
"""

from __future__ import annotations

import asyncio
import itertools

import structlog

from handlers.runtime.messages import DOWNLOADING, WARMING_UP, Beat, Done, Failed
from handlers.runtime.process import Child, ChildEndedError
from handlers.runtime.readiness import Readiness
from handlers.runtime.runs import load_order
from listener.contract import GeneratorConfig

log = structlog.get_logger()


class LoadRefusedError(Exception):
    """The child lives and says why the pipeline is not loaded."""


class Loading:
    """What one child is asked to load."""

    def __init__(
        self, child: Child, readiness: Readiness, config: GeneratorConfig, numbers: itertools.count[int]
    ) -> None:
        self._child = child
        self._readiness = readiness
        self._config = config
        self._numbers = numbers
        self._pipelines = {pipeline.kind: pipeline for pipeline in config.pipelines}

    async def load(self, kind: str) -> None:
        """Have a kind's pipeline loaded, proven and warm.

        Raises: LoadRefusedError; ChildEndedError, also for a load that took too long.
        """
        order = load_order(next(self._numbers), self._pipelines[kind], self._config)
        limit_s, phase = self._config.load_timeout_s, "loaded"
        try:
            async with asyncio.timeout(limit_s) as limit:
                self._child.post(order)
                while True:
                    match await self._child.receive():
                        case Beat(run=order.run, note=note):
                            self._readiness.loading(kind, note)
                            begins_warm_up = note.startswith(WARMING_UP) and phase == "loaded"
                            if begins_warm_up:
                                limit_s, phase = self._config.warm_up_timeout_s, "warm"
                            # A slow download is no fault as long as it goes on: the next one would begin anew.
                            if begins_warm_up or note.startswith(DOWNLOADING):
                                limit.reschedule(asyncio.get_running_loop().time() + limit_s)
                        case Done(run=order.run, facts=facts):
                            self._readiness.loaded(kind, facts)
                            log.info("runtime_loaded", kind=kind, **facts)
                            return
                        case Failed(run=order.run) as failed:
                            raise self._refused(kind, failed)
        except TimeoutError as error:
            cause = f"{kind} was not {phase} within {limit_s:g} s"
            raise ChildEndedError(await self._child.kill_and_wait(), cause, "load_timeout") from error

    def _refused(self, kind: str, failed: Failed) -> LoadRefusedError:
        facts = {**failed.details, "kind": kind, "reason": failed.message, "trace": failed.trace or None}
        log.error("runtime_load_failed", **facts)
        self._readiness.evicted(failed.details.get("evicted", ()), kind)
        return LoadRefusedError(failed.message)

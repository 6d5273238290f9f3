"""Carries out the host's orders one after the other on the thread that owns the device.

Knows torch; does not know what the socket is made of.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Protocol

from handlers.runtime import generation, pipelines
from handlers.runtime.batching import BatchSizes
from handlers.runtime.canary import rehearsal
from handlers.runtime.exits import EXIT_FATAL_DEVICE, FATAL_LINE
from handlers.runtime.failures import MESSAGE_CHARS_MAX, TRACE_CHARS_MAX, FatalDeviceError, classify
from handlers.runtime.loaded import Loaded, LoadError
from handlers.runtime.memory import free_memory, memory_facts, settle_memory
from handlers.runtime.messages import DRAWN, NO_RUN, WARMING_UP, Beat, Done, Failed, Generate, Load, Message
from handlers.runtime.pictures import Drawn
from handlers.runtime.redaction import redact
from handlers.runtime.residency import Residents


class Orders(Protocol):
    """Where orders come from and answers go to."""

    def next_order(self) -> Load | Generate: ...
    def answer(self, message: Message) -> None: ...
    def answer_later(self, make: Callable[[], Message]) -> None: ...
    def is_cancelled(self, run: int) -> bool: ...
    def forget(self, run: int) -> None: ...


class Worker:
    """One device, one thread, one order or one batch of orders at a time."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._residents = Residents()
        self._sizes = BatchSizes()
        pipelines.quieten()

    def carry_out(self, order: Load | Generate) -> None:
        """Answer one order and those joined to it with Done or Failed; a fatal device error ends the process."""
        together = [order]
        try:
            if isinstance(order, Load):
                self._load(order)
            else:
                together = [order, *(self._orders.next_order() for _ in range(order.joined))]
                self._generate([one for one in together if isinstance(one, Generate)])
        except FatalDeviceError as error:
            sys.stderr.write(f"{FATAL_LINE}{error}\n")
            sys.stderr.flush()
            os._exit(EXIT_FATAL_DEVICE)
        finally:
            for one in together:
                self._orders.forget(one.run)

    def _load(self, order: Load) -> None:
        started = time.monotonic()
        try:
            loaded, facts, evicted = self._residents.bring_in(order, lambda note: self._tell_phase(order, note))
        except Exception as error:  # noqa: BLE001 a bad model, folder, hub or device is told, never raised
            failed = _describe_load(error, order)
        else:
            self._sizes.forget()
            facts = {**facts, "evicted": evicted, "warm_up_s": self._warm_up(loaded, order)}
            settle_memory()
            took = {"total_s": round(time.monotonic() - started, 3), "memory": memory_facts(loaded.device)}
            self._orders.answer(Done(order.run, {**facts, **took}))
            return
        free_memory()
        self._orders.answer(failed)

    def _tell_phase(self, order: Load, note: str) -> None:
        self._orders.answer(Beat(order.run, 0, 0, note))

    def _warm_up(self, loaded: Loaded, order: Load) -> dict[str, float]:
        """Draw once at each size that is expected, so that the first request does not pay for it. Units: seconds."""
        took: dict[str, float] = {}
        for size in order.warm_up:
            self._tell_phase(order, f"{WARMING_UP} at {size}")
            started = time.monotonic()
            width, height = (int(side) for side in size.split("x"))
            silence = _Silence()
            self._make(loaded, [rehearsal(order, loaded, width, height)], silence)
            if (failed := silence.failed()) is not None:
                sys.stderr.write(f"warming up at {size} failed: {failed.message}\n")
            took[size] = round(time.monotonic() - started, 3)
        return took

    def _generate(self, orders: list[Generate]) -> None:
        loaded = self._residents.use(orders[0].kind)
        for order in orders:
            steps = (order.steps or (loaded.steps if loaded else 1)) * len(order.seeds)
            self._orders.answer(Beat(order.run, 0, max(1, steps), "begun"))
        if loaded is None:
            for order in orders:
                self._orders.answer(Failed(order.run, "model_unavailable", f"{order.kind} is not loaded", {}))
            return
        self._make(loaded, orders, _Audience(self._orders, loaded.device))

    def _make(self, loaded: Loaded, orders: list[Generate], audience: _Audience | _Silence) -> None:
        if not (loaded.speaks and orders[0].speaks):
            generation.Drawing(loaded, orders, audience, self._sizes).complete()
            return
        from handlers.runtime.filming import Filming  # noqa: PLC0415 needs the extra `media`, which images do without

        Filming(loaded, orders[0], audience).complete()


class _Audience:
    """Hands what happens in a batch to the socket."""

    def __init__(self, orders: Orders, device: str) -> None:
        self._orders = orders
        self._device = device

    def step(self, run: int, done: int, total: int) -> None:
        self._orders.answer(Beat(run, done, total))

    def is_cancelled(self, run: int) -> bool:
        return self._orders.is_cancelled(run)

    def leave(self, run: int, ended: Drawn | Failed) -> None:
        if isinstance(ended, Failed):
            self._orders.answer(ended)
            return
        self._orders.answer(Beat(run, 0, 0, DRAWN))
        ended.facts["memory"] = memory_facts(self._device)
        self._orders.answer_later(lambda: ended.to_message(run))


class _Silence:
    """Hears a rehearsal to its end."""

    ended: Drawn | Failed | None = None

    def step(self, _run: int, _done: int, _total: int) -> None:
        return

    def is_cancelled(self, _run: int) -> bool:
        return False

    def leave(self, _run: int, ended: Drawn | Failed) -> None:
        self.ended = ended

    def failed(self) -> Failed | None:
        """Tell what went wrong, also in making the answer."""
        ended = self.ended if isinstance(self.ended, Failed | None) else self.ended.to_message(NO_RUN)
        return ended if isinstance(ended, Failed) else None


def _describe_load(error: Exception, order: Load) -> Failed:
    if classify(error) == "fatal":
        raise FatalDeviceError(f"{type(error).__name__}: {error}")
    known = isinstance(error, LoadError)
    message = str(error) if known else _with_root(error)
    trace = "" if known else redact(traceback.format_exc()[-TRACE_CHARS_MAX:], ())
    wanted = {
        "model": order.model,
        "pipeline_class": order.pipeline_class,
        "dtype": order.dtype,
        "device": order.device,
    }
    details = {**wanted, **pipelines.versions(), "evicted": getattr(error, "evicted", [])}
    return Failed(order.run, "model_unavailable", redact(message[:MESSAGE_CHARS_MAX], ()), details, trace)


def _with_root(error: BaseException) -> str:
    """Name an error and what began it: the hub's own text points to a trace that the owner does not see."""
    message = f"{type(error).__name__}: {error}"
    root = error
    while (earlier := root.__cause__ or root.__context__) is not None:
        root = earlier
    return message if root is error else f"{type(root).__name__}: {root}; therefore {message}"

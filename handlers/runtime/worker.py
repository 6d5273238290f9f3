"""Carries out the host's orders one after the other on the thread that owns the device.

Keeps what is loaded. Knows torch; does not know what the socket is made of.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from handlers.runtime import generation, pipelines
from handlers.runtime.exits import EXIT_FATAL_DEVICE
from handlers.runtime.memory import free_memory, memory_facts, settle_memory
from handlers.runtime.messages import Beat, Done, Failed, Generate, Load, Message
from handlers.runtime.pipelines import Loaded
from handlers.runtime.redaction import redact

TRACE_CHARS_MAX = 8000
MESSAGE_CHARS_MAX = 2000


class Orders(Protocol):
    """Where orders come from and answers go to."""

    def next_order(self) -> Load | Generate: ...
    def answer(self, message: Message) -> None: ...
    def answer_later(self, make: Callable[[], Message]) -> None: ...
    def is_cancelled(self, run: int) -> bool: ...
    def forget(self, run: int) -> None: ...


class Worker:
    """One device, one thread, one order at a time."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._kinds: dict[str, Loaded] = {}
        self._resident: dict[tuple[Any, ...], tuple[Loaded, dict[str, Any]]] = {}
        pipelines.quieten()

    def carry_out(self, order: Load | Generate) -> None:
        """Answer one order with Done or Failed; a fatal device error ends the process instead."""
        try:
            if isinstance(order, Load):
                self._load(order)
            else:
                self._generate(order)
        except generation.FatalDeviceError as error:
            sys.stderr.write(f"fatal device error: {error}\n")
            sys.stderr.flush()
            os._exit(EXIT_FATAL_DEVICE)
        finally:
            self._orders.forget(order.run)

    def _load(self, order: Load) -> None:
        started = time.monotonic()
        try:
            loaded, facts = self._bring_in(order)
        except Exception as error:  # noqa: BLE001 a bad model, folder, hub or device is told, never raised
            failed = _describe_load(error, order)
        else:
            self._kinds[order.kind] = loaded
            settle_memory()
            took = {"total_s": round(time.monotonic() - started, 3), "memory": memory_facts(loaded.device)}
            self._orders.answer(Done(order.run, {**facts, **took}))
            return
        free_memory()
        self._orders.answer(failed)

    def _bring_in(self, order: Load) -> tuple[Loaded, dict[str, Any]]:
        key = (order.model, order.pipeline_class, order.dtype, order.device)
        if key not in self._resident:
            self._resident[key] = pipelines.load(order, lambda note: self._orders.answer(Beat(order.run, 0, 0, note)))
        loaded, facts = self._resident[key]
        return pipelines.with_defaults(loaded, order), facts

    def _generate(self, order: Generate) -> None:
        self._orders.answer(Beat(order.run, 0, 0, "begun"))
        loaded = self._kinds.get(order.kind)
        if loaded is None:
            self._orders.answer(Failed(order.run, "model_unavailable", f"{order.kind} is not loaded", {}))
            return
        ended = generation.run(
            loaded,
            order,
            lambda done, total: self._orders.answer(Beat(order.run, done, total)),
            lambda: self._orders.is_cancelled(order.run),
        )
        if isinstance(ended, Failed):
            self._orders.answer(ended)
            return
        made = ended
        made.facts["memory"] = memory_facts(loaded.device)
        self._orders.answer_later(lambda: made.to_message(order.run))


def _describe_load(error: Exception, order: Load) -> Failed:
    if generation.classify(error) == "fatal":
        raise generation.FatalDeviceError(f"{type(error).__name__}: {error}")
    known = isinstance(error, pipelines.LoadError)
    message = str(error) if known else _with_root(error)
    trace = "" if known else redact(traceback.format_exc()[-TRACE_CHARS_MAX:], ())
    wanted = {
        "model": order.model,
        "pipeline_class": order.pipeline_class,
        "dtype": order.dtype,
        "device": order.device,
    }
    details = {**wanted, **pipelines.versions()}
    return Failed(order.run, "model_unavailable", redact(message[:MESSAGE_CHARS_MAX], ()), details, trace)


def _with_root(error: BaseException) -> str:
    """Name an error and what began it: the hub's own text points to a trace that the owner does not see."""
    message = f"{type(error).__name__}: {error}"
    root = error
    while (earlier := root.__cause__ or root.__context__) is not None:
        root = earlier
    return message if root is error else f"{type(root).__name__}: {root}; therefore {message}"

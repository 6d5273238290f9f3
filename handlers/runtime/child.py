"""The child process: its two ends of the socket, and its life, which ends with the daemon's.

Started as `python -m handlers.runtime.child SOCKET_FD PARENT_PID [spare CLASS...]`. The main thread owns the device,
one thread reads the socket, one writes it and copies pixels. Knows no session, no queue and no Supabase; imports torch
when the first order has come, a spare ahead of it.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

from handlers.runtime import lifeline
from handlers.runtime.ahead import import_ahead
from handlers.runtime.exits import EXIT_BAD_MESSAGE, EXIT_ORPHANED
from handlers.runtime.messages import (
    NO_RUN,
    Beat,
    Cancel,
    Failed,
    Generate,
    Load,
    Message,
    ProtocolError,
    encode,
    read_message,
)


class Link:
    """The child's end of the socket. When the other end closes, the process ends, whatever it is doing."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._incoming = connection.makefile("rb")
        self._orders: queue.SimpleQueue[Load | Generate] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Callable[[], Message]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()

    def open(self) -> None:
        """Begin to read and to write."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        threading.Thread(target=self._write, name="writer", daemon=True).start()

    def next_order(self) -> Load | Generate:
        """Wait for the next order."""
        return self._orders.get()

    def answer(self, message: Message) -> None:
        """Queue an answer; never blocks."""
        self._answers.put(lambda: message)

    def answer_later(self, make: Callable[[], Message]) -> None:
        """Queue an answer that is made on the writer's thread."""
        self._answers.put(make)

    def is_cancelled(self, run: int) -> bool:
        """Tell whether the host gave up a run."""
        return run in self._cancelled

    def forget(self, run: int) -> None:
        """Drop what is remembered of a run that ended."""
        self._cancelled.discard(run)

    def _read(self) -> None:
        try:
            while True:
                message = read_message(self._exactly)
                if isinstance(message, Cancel):
                    self._cancelled.add(message.run)
                elif isinstance(message, Load | Generate):
                    self._orders.put(message)
        except (EOFError, OSError):
            os._exit(EXIT_ORPHANED)
        except ProtocolError as error:
            sys.stderr.write(f"protocol error: {error}\n")
            os._exit(EXIT_BAD_MESSAGE)

    def _exactly(self, size: int, /) -> bytes:
        data = self._incoming.read(size)
        if data is None or len(data) < size:
            raise EOFError
        return data

    def _write(self) -> None:
        try:
            while True:
                for chunk in encode(self._answers.get()()):
                    self._connection.sendall(chunk)
        except OSError:
            os._exit(EXIT_ORPHANED)


def _first_order(link: Link, spare: Sequence[str]) -> Load | Generate:
    """Wait for the first order; a spare makes itself ready meanwhile."""
    if not spare:
        return link.next_order()
    ahead = import_ahead(spare[1:], lambda took_s: link.answer(Beat(NO_RUN, 0, 0, f"imported in {took_s:.1f} s")))
    order = link.next_order()
    link.answer(Beat(order.run, 0, 0, "taken from standby"))
    ahead.join()
    return order


def main() -> None:
    """Serve until the daemon closes the socket or dies."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    lifeline.tie_to_parent(parent)
    lifeline.leave_signals_to_the_daemon()
    lifeline.end_with_any_thread()
    link = Link(socket.socket(fileno=descriptor))
    link.open()
    order = _first_order(link, sys.argv[3:])
    link.answer(Beat(order.run, 0, 0, "importing torch and diffusers"))
    started = time.monotonic()
    try:
        from handlers.runtime.worker import Worker  # noqa: PLC0415 seconds of imports, after the lifeline is tied
    except ImportError as error:
        message = f"the generation libraries cannot be imported ({error}); install the extra `gpu` and torch"
        link.answer(Failed(order.run, "model_unavailable", message, {}))
        while True:
            order = link.next_order()
            link.answer(Failed(order.run, "model_unavailable", message, {}))
    worker = Worker(link)
    link.answer(Beat(order.run, 0, 0, f"imported in {time.monotonic() - started:.1f} s"))
    while True:
        worker.carry_out(order)
        order = link.next_order()


if __name__ == "__main__":
    main()

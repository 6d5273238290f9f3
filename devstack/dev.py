"""`listener dev`: the stack, its workers and the page as one thing that starts and ends together.

Knows the processes and their order; does not know what a session is. What it says goes to a callback.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from devstack.gateway import PageIncompleteError
from devstack.postgres.binaries import PostgresUnavailableError
from devstack.postgres.prepare import MigrationError
from devstack.stack import Stack, open_stack
from devstack.worker import Worker, WorkerEndedError, draws_noise, worker_environment

EMBEDDED_READY_WITHIN_S = 180.0
MODEL_READY_WITHIN_S = 1900.0  # the weights may have to be downloaded first
EXPECTED = (WorkerEndedError, PostgresUnavailableError, MigrationError, PageIncompleteError, OSError)
"""What can go wrong on a sane machine (a taken port is an OSError); the text says enough without a traceback."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Running:
    """A stack that runs, as another client needs to know it. `api_url` is a worker's; None where there is none."""

    url: str
    anon_key: str
    service_role_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    db_url: str = field(repr=False)
    page_url: str
    api_url: str | None = None

    def as_json(self) -> str:
        """One line for a program that reads it."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What the person asked for. With `stay` false everything ends after the visit."""

    port: int = 0
    workers: int = 1
    stay: bool = True


@dataclass(frozen=True, slots=True)
class Reporter:
    """Where words and the worker's log lines go."""

    say: Say
    on_log: Callable[[dict[str, Any]], None]


Visit = Callable[[Running], Awaitable[None]]


async def run_dev(options: DevOptions, reporter: Reporter, visit: Visit) -> bool:
    """Run until a signal comes, or until the visit is over; False when a signal ended it.

    The first SIGINT or SIGTERM drains, the second one kills.
    Raises: ExceptionGroup of what went wrong.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(_serve(options, reporter, visit))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _stop, serving, reporter)
    return not serving.cancelled()


def state_path() -> Path:
    """Where a running `listener dev` says how to reach it; `listener submit` reads it."""
    return platformdirs.user_state_path("listener") / "dev.json"


def _stop(serving: asyncio.Task[None], reporter: Reporter) -> None:
    reporter.say("stopping")
    serving.cancel()


async def _serve(options: DevOptions, reporter: Reporter, visit: Visit) -> None:
    reporter.say("starting PostgreSQL and the stack")
    async with open_stack(port=options.port, page=True, page_facts={"embedded": draws_noise()}) as stack:
        running = _described(stack)
        with _recorded(running):
            reporter.say(_worker_words(options.workers))
            async with asyncio.TaskGroup() as following:
                workers: list[Worker] = []
                try:
                    await _start_workers(options, running, reporter, following, workers)
                    await visit(replace(running, api_url=workers[0].url if workers else None))
                    if options.stay:
                        await asyncio.Event().wait()
                finally:
                    await _stop_workers(workers)


async def _start_workers(
    options: DevOptions, running: Running, reporter: Reporter, following: asyncio.TaskGroup, workers: list[Worker]
) -> None:
    environment = worker_environment(running.url, running.service_role_key)
    for _ in range(options.workers):
        worker = await Worker.start(environment)
        workers.append(worker)
        following.create_task(worker.follow(reporter.on_log))
    limit_s = EMBEDDED_READY_WITHIN_S if draws_noise() else MODEL_READY_WITHIN_S
    try:
        async with asyncio.timeout(limit_s):
            for worker in workers:
                await worker.ready.wait()
    except TimeoutError:
        raise TimeoutError(f"the worker was not ready within {limit_s:.0f} s; --verbose shows its log") from None


async def _stop_workers(workers: list[Worker]) -> None:
    async with asyncio.TaskGroup() as stopping:
        for worker in workers:
            stopping.create_task(worker.stop())


def _worker_words(count: int) -> str:
    if count == 0:
        return "no worker was asked for: sessions stay queued"
    return "starting the worker" if count == 1 else f"starting {count} workers"


def _described(stack: Stack) -> Running:
    return Running(
        url=stack.url,
        anon_key=stack.keys.anon_key,
        service_role_key=stack.keys.service_role_key,
        jwt_secret=stack.keys.jwt_secret,
        db_url=stack.database_url,
        page_url=f"{stack.url}/page/",
    )


@contextmanager
def _recorded(running: Running) -> Iterator[None]:
    """Leave a note for `listener submit` while the stack runs; the secret keys are not in it."""
    path = state_path()
    note = json.dumps(
        {"url": running.url, "anon_key": running.anon_key, "page_url": running.page_url, "pid": os.getpid()}
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(note)
    fresh.replace(path)
    try:
        yield
    finally:
        # A later stack may have left its own note there.
        if path.exists() and path.read_text() == note:
            path.unlink()

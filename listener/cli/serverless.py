"""`listener serverless`: the daemon in a thread, RunPod's own client in front of it, and what passes between them.

The client keeps the main thread and the signals; the daemon claims only while a job is at work.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any
from uuid import uuid4

import click

from listener.adapters.supabase_clients import open_clients
from listener.app import Daemon
from listener.cli.run import config_error_in
from listener.cli.serverless_jobs import Answer, Jobs, OnProgress, Worker, error_of, stopping
from listener.elsewhere import artifacts_of, elsewhere_of
from listener.engine.shift import Shift
from listener.errors import ConfigError, ListenerError
from listener.http.refusal import Refused
from listener.settings import Settings, load_settings
from listener.surroundings import surroundings
from listener.telemetry import log
from listener.telemetry.redact import hide_secrets

CONNECTIONS = 4
ENDED_S = 90.0
LOCAL = "local_test"
"""The id that the client gives to every job of --test_input."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serverless(arguments: tuple[str, ...]) -> None:
    """Serve jobs of a RunPod endpoint: {"drain": true}, {"session_id": ...}, or {"prompt": ..., "user_id": ...}.

    ARGUMENTS are those of RunPod's client: --rp_serve_api --rp_api_port 8001 serves a local endpoint, --test_input
    '{"input": {"drain": true}}' one job. Exit status: as of `run`.
    """
    try:
        import runpod  # noqa: PLC0415 - it takes seconds, and is no part of the other commands
    except ImportError:
        raise ConfigError("listener serverless needs RunPod's client: pip install 'listener[runpod]'") from None
    settings = load_settings()
    hide_secrets(settings.secrets())
    log.configure(settings.log_level)
    # The client pings from a process of its own: forked, it would hold the daemon's sockets and its threads' locks.
    with suppress(RuntimeError):
        multiprocessing.set_start_method("spawn")
    sys.argv = ["listener", *arguments]
    client = runpod.serverless.modules.rp_logger.RunPodLogger()
    client.level = "INFO"  # below that it prints jobs and their answers
    front = Front(settings, lambda job, told: _tell(runpod, job, told))
    front.begin()
    status: str | int | None = 0
    try:
        runpod.serverless.start({"handler": front.handle})
    except SystemExit as ended:  # a job of --test_input
        status = ended.code
    sys.exit(front.end() or status)


def _tell(runpod: Any, job: dict[str, Any], told: Answer) -> None:
    """Show progress, where there is somebody to show it to."""
    if not runpod.serverless.modules.worker_state.IS_LOCAL_TEST:
        runpod.serverless.progress_update(job, told)


class Front:
    """The daemon in its thread, as the client's loop sees it."""

    def __init__(self, settings: Settings, tell: Callable[[dict[str, Any], Answer], None]) -> None:
        self._settings = settings
        self._tell = tell
        shift = Shift(is_open=False)
        self._worker = Worker(Daemon(settings, shift=shift), shift)
        self._jobs: Jobs | None = None
        self._loop = asyncio.new_event_loop()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="daemon", daemon=True)
        self._crash: BaseException | None = None
        self._before: dict[int, Any] = {}
        self._log = log.get("serverless")

    def begin(self) -> None:
        """Start the daemon: it loads its models while no job is there."""
        for number in SIGNALS:
            signal.signal(number, self._signalled)
        self._thread.start()
        self._begun.wait()

    async def handle(self, job: dict[str, Any]) -> Answer:
        """One job, on the client's loop. Whatever happens is an answer: an exception would print the job's input."""
        self._hear_signals()
        job_id = str(job.get("id") or uuid4())
        jobs = self._jobs
        if jobs is None or not self._thread.is_alive():
            return self._over()
        with log.bound(job=job_id):
            on_progress: OnProgress = lambda told: self._tell(job, told)  # noqa: E731
            key = None if job_id == LOCAL else job_id
            serving = asyncio.run_coroutine_threadsafe(jobs.serve(key, job.get("input"), on_progress), self._loop)
            try:
                answer = await asyncio.wrap_future(serving)
            except Refused as refused:
                return self._refused(refused)
            except ListenerError as error:
                self._log.error("job_failed", error=str(error))
                return self._failed(error.code.upper(), error.public_message, {"remedy": error.remedy})
            except asyncio.CancelledError:
                if (ours := asyncio.current_task()) is not None and ours.cancelling():
                    raise  # RunPod stops the job; its session goes on by itself
                return self._over()
            except Exception as error:  # noqa: BLE001 - the client would print the job's input with it
                self._log.error("job_failed", exc_info=error)
                return self._failed("INTERNAL_ERROR", "Something went wrong on our side.", {})
        return answer | self._refresh()

    def end(self) -> int:
        """Drain, wait for the daemon's end; the status of the process."""
        self._drain()
        self._thread.join(self._settings.drain_s + ENDED_S)
        if self._crash is None:
            return 0
        if isinstance(problem := config_error_in(self._crash), ConfigError):
            raise problem
        return 1

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._live())
            except BaseException as crash:  # noqa: BLE001 - told by `end`
                self._crash = crash
                self._log.error("worker_crashed", exc_info=crash, surroundings=surroundings(self._settings))
            finally:
                self._begun.set()

    async def _live(self) -> None:
        settings = self._settings
        key = settings.supabase_service_role_key.get_secret_value()
        async with (
            open_clients(settings.supabase_url, key, CONNECTIONS) as clients,
            elsewhere_of(settings, CONNECTIONS) as elsewhere,
        ):
            self._jobs = Jobs(self._worker, clients, artifacts_of(clients, elsewhere), settings)
            self._begun.set()
            await self._worker.daemon.run()

    def _refused(self, refused: Refused) -> Answer:
        return {"error": json.dumps(error_of(refused))} | self._refresh()

    def _over(self) -> Answer:
        """The daemon has ended, and with it this job."""
        refused = stopping() if self._crash is None else Refused(500, "WORKER_ENDED", "The worker has ended.")
        return self._refused(refused) | {"refresh_worker": True}

    def _failed(self, code: str, message: str, details: Answer) -> Answer:
        return self._refused(Refused(500, code, message, None, **details))

    def _refresh(self) -> Answer:
        """Ask for another worker when this one can make nothing any more; one that still loads will."""
        is_sick = not self._thread.is_alive() or self._worker.daemon.is_sick
        return {"refresh_worker": True} if is_sick else {}

    def _hear_signals(self) -> None:
        """Hear signals before whoever took them since the start: only the main thread may, and a job is in it."""
        for number in SIGNALS:
            if (taken := signal.getsignal(number)) != self._signalled:
                self._before[number] = taken
                signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._drain()
        if callable(before := self._before.get(number)):
            before(number, frame)

    def _drain(self) -> None:
        with suppress(RuntimeError):  # its loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._worker.daemon.drain)

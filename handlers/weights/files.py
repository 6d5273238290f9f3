"""The daemon's view of the model files: what is missing, and a child process that brings it.

A download of many gigabytes is a process of its own: it is left by killing it, and goes on where it was next time.
Never imports the hub's client. Knows processes and folders.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

import handlers
from handlers.runtime.environment import download_environment
from handlers.weights.repository import OnNote, Repository, lacking
from listener.contract import GeneratorStatus
from listener.errors import ModelUnavailable

ROOT = Path(handlers.__file__).parents[1]
MODULE = "handlers.weights.child"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long. Units: seconds; `lease_s` must be the same for all workers of a volume.

    `claim_s` is how long another worker may take that brings the same; `silence_s` how long the child may say nothing.
    """

    tries: int = 3
    first_delay_s: float = 5.0
    most_delay_s: float = 60.0
    lease_s: float = 30.0
    claim_s: float = 7200.0
    silence_s: float = 120.0


class _TryError(Exception):
    """One try came to nothing."""

    def __init__(self, reason: str, *, is_passing: bool) -> None:
        super().__init__(reason)
        self.is_passing = is_passing


class ModelFiles:
    """The repositories that an engine needs, below one folder, which several workers may share.

    `environment` is added to what the child gets.
    """

    def __init__(
        self,
        repositories: Sequence[Repository],
        root: Path,
        token: str | None = None,
        *,
        patience: Patience | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._repositories = tuple(repositories)
        self._root = root
        self._token = token
        self._patience = patience or Patience()
        self._environment = dict(environment or {})
        self._turn = asyncio.Lock()
        self._note = ""

    def folder(self, repository: Repository) -> Path:
        """Where its files are, or will be."""
        return self._root / repository.folder

    def missing(self) -> tuple[str, ...]:
        """What is not all there, in words; asks no network."""
        found = (lacking(repository, self.folder(repository)) for repository in self._repositories)
        return tuple(filter(None, found))

    def status(self) -> GeneratorStatus:
        """Tell whether all is there, and if not, what is missing and what is done about it."""
        missing = self.missing()
        reason = "; ".join(filter(None, (self._note, *missing)))
        return GeneratorStatus(not missing, reason if missing else "all model files are there", {"missing": missing})

    async def ensure(self, on_note: OnNote) -> None:
        """Bring what is missing; no network is asked when all is there. Cancelling it is safe at any moment.

        Raises: ModelUnavailable, in words for the operator.
        """
        async with self._turn:
            for repository in self._repositories:
                if lacking(repository, self.folder(repository)) is not None:
                    await self._bring(repository, on_note)

    async def _bring(self, repository: Repository, on_note: OnNote) -> None:
        """Try, and again with growing delays where that may help. Raises: ModelUnavailable."""
        patience = self._patience
        trying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, _TryError) and error.is_passing),
            wait=wait_exponential_jitter(
                multiplier=patience.first_delay_s, max=patience.most_delay_s, jitter=patience.first_delay_s
            ),
            stop=stop_after_attempt(patience.tries),
            reraise=True,
        )
        try:
            async for attempt in trying:
                with attempt:
                    await self._try(repository, on_note, attempt.retry_state.attempt_number)
        except _TryError as error:
            raise ModelUnavailable(str(error)) from error
        self._note = ""
        log.info("model_files_complete", repository=repository.repo_id, folder=str(self.folder(repository)))

    async def _try(self, repository: Repository, on_note: OnNote, number: int) -> None:
        """One child, from its order to its last word. Raises: _TryError."""
        try:
            async with self._child() as process:
                await _order(process, self._order(repository))
                while "done" not in (told := await self._told(process)):
                    if "failed" in told:
                        raise _TryError(str(told["failed"]), is_passing=bool(told.get("again")))
                    self._note = str(told.get("note", ""))
                    on_note(self._note)
        except _TryError as error:
            self._note = f"try {number} of {self._patience.tries}: {error}"
            log.warning("model_files_failed", repository=repository.repo_id, attempt=number, reason=str(error))
            on_note(self._note)
            raise

    def _order(self, repository: Repository) -> dict[str, Any]:
        return {
            "repository": asdict(repository),
            "folder": str(self.folder(repository)),
            "token": self._token,
            "lease_s": self._patience.lease_s,
            "claim_s": self._patience.claim_s,
        }

    @asynccontextmanager
    async def _child(self) -> AsyncIterator[Process]:
        """A child that is gone afterwards, whatever happens."""
        environment = download_environment() | self._environment | {"PYTHONPATH": str(ROOT)}
        # -P: a file in the working directory must not pose as a library.
        arguments = (sys.executable, "-P", "-m", MODULE, str(os.getpid()))
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment
            )
        except OSError as error:
            raise _TryError(f"no process for the download: {error.strerror}", is_passing=True) from error
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _told(self, process: Process) -> dict[str, Any]:
        """The child's next line. Raises: _TryError."""
        if process.stdout is None:
            raise AssertionError("unreachable: it is a pipe")
        try:
            async with asyncio.timeout(self._patience.silence_s):
                line = await process.stdout.readline()
        except TimeoutError:
            raise _TryError("the download process fell silent", is_passing=True) from None
        if not line:
            raise _TryError(f"the download process ended (status {await process.wait()})", is_passing=True)
        told: dict[str, Any] = json.loads(line)
        return told


async def _order(process: Process, order: Mapping[str, Any]) -> None:
    if process.stdin is None:
        raise AssertionError("unreachable: it is a pipe")
    with suppress(ConnectionError):  # its end is told by what it does not answer
        process.stdin.write(json.dumps(order).encode())
        await process.stdin.drain()
        process.stdin.close()

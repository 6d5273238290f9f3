"""The daemon's view of the model files: what is missing, and a child process that brings it.

A download of many gigabytes is a process of its own: it is left by killing it, and goes on where it was next time.
Never imports the hub's client. Knows processes and folders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from handlers.weights.repository import Repository, lacking
from listener.contract import GeneratorStatus
from listener.errors import ModelUnavailable

OnNote = Callable[[str], None]
"""Called with what is going on, in words."""


class ModelFiles:
    """The repositories that an engine needs, below one folder, which several workers may share."""

    def __init__(self, repositories: Sequence[Repository], root: Path, token: str | None = None) -> None:
        self._repositories = tuple(repositories)
        self._root = root
        self._token = token
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
        if missing := self.missing():
            raise ModelUnavailable("; ".join(missing))

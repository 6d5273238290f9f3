"""Folders for the files of requests under way: private, gone with their request, and with a process that was killed.

Knows the disk's temporary folder; does not know what the files are.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "listener-uploads-"


class Scratch:
    """This process's place for such folders."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder that nobody else may look into, gone at the end with all that is in it."""
        made = Path(tempfile.mkdtemp(dir=self._root))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def open_scratch(parent: Path | None = None) -> Iterator[Scratch]:
    """Take a place of our own, after what dead processes left was removed.

    Locks: flock on the place, for as long as the process lives; who gets the lock of another place may remove it.
    """
    above = parent or Path(tempfile.gettempdir())
    sweep(above)
    root, lock = _taken(above)
    try:
        yield Scratch(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path) -> None:
    """Remove the places of processes that are no more; those of other users stay."""
    for place in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # not ours, in use, or gone already
            lock = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                if os.fstat(lock).st_uid == os.getuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(place, ignore_errors=True)
            finally:
                os.close(lock)


def _taken(parent: Path) -> tuple[Path, int]:
    while True:
        root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if root.exists():
                return root, lock
        os.close(lock)  # another one's sweep came between

"""A private folder for the files of one run. It is gone afterwards; what a killed worker left goes at the next start.

Knows files only. A folder is in use as long as somebody holds the lock on its mark.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "run-"
MARK = ".listener-run"


@contextmanager
def run_folder(root: Path) -> Iterator[Path]:
    """Make a folder that only this user can read, hold it, remove it with all that lies in it. Raises: OSError."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder, mark = _held(root)
    try:
        yield folder
    finally:
        remove(folder)
        os.close(mark)


def _held(root: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        mark = os.open(folder / MARK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(mark, fcntl.LOCK_EX)
        if (folder / MARK).exists():
            return folder, mark
        os.close(mark)  # another worker's sweep was faster than the lock


def sweep(root: Path) -> int:
    """Remove the folders that nobody holds; tell how many. Folders without our mark stay."""
    removed = 0
    for folder in root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            mark = os.open(folder / MARK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
                removed += 1
            finally:
                os.close(mark)
    return removed


def remove(folder: Path) -> None:
    """Remove a folder, also where somebody made a part of it unreadable."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            inner = Path(place) / name
            if not inner.is_symlink():
                with suppress(OSError):
                    inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)

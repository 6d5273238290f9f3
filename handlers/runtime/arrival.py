"""While a pipeline loads: tells how much of it the hub's client has brought, as long as more comes. Knows files only.

The client begins a file anew in each process and leaves the half of a killed one where it was: that is removed here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from handlers.runtime.memory import MIB
from handlers.runtime.messages import DOWNLOADING

LOOK_S = 2.0
ABANDONED_S = 3600.0
"""Nothing was written to it for so long: nobody fills it any more."""
HALF = "*.incomplete"


@contextmanager
def watched(model: str, on_note: Callable[[str], None]) -> Iterator[None]:
    """Tell of a hub model's download, if there is one, from a thread of its own."""
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model") / "blobs"
    _sweep_abandoned(folder)
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(model, folder, _written(folder), ended, on_note))
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(
    model: str, folder: Path, seen: tuple[int, int], ended: threading.Event, on_note: Callable[[str], None]
) -> None:
    while not ended.wait(LOOK_S):
        if (now := _written(folder)) != seen:
            seen = now
            on_note(f"{DOWNLOADING} {model}: {now[0] // MIB} MiB are there")


def _written(folder: Path) -> tuple[int, int]:
    """Measure what is there: bytes, and what the disk holds of them (a client may reserve a file's length at once)."""
    sizes = [0, 0]
    with suppress(OSError):
        for file in folder.iterdir():
            with suppress(OSError):  # it got its final name in between
                facts = file.stat()
                sizes[0] += facts.st_size
                sizes[1] += facts.st_blocks
    return sizes[0], sizes[1]


def _sweep_abandoned(folder: Path) -> None:
    for half in folder.glob(HALF):
        with suppress(OSError):
            if time.time() - half.stat().st_mtime > ABANDONED_S:
                half.unlink()

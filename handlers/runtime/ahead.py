"""In a spare child: imports the generation libraries before anything is asked of it, at low priority.

Makes sure that no device is touched: a spare lives beside the child that owns it. Imports torch only on its thread.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from handlers.runtime.exits import EXIT_TOUCHED_DEVICE

NICENESS = 5
"""A third of an ordinary share, of the importing thread alone: what is lowered once cannot be raised again."""


def import_ahead(classes: Sequence[str], on_imported: Callable[[float], None]) -> threading.Thread:
    """Begin to import on a thread of its own; tell how many seconds it took. What fails there ends the process."""
    thread = threading.Thread(target=_import, args=(classes, on_imported), name="importer", daemon=True)
    thread.start()
    return thread


def _import(classes: Sequence[str], on_imported: Callable[[float], None]) -> None:
    started = time.monotonic()
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    torch = importlib.import_module("torch")
    diffusers = importlib.import_module("diffusers")
    importlib.import_module("handlers.runtime.worker")
    for name in classes:
        getattr(diffusers, name, None)  # diffusers and transformers import a class's modules at its first mention
    if torch.cuda.is_initialized():
        sys.stderr.write("a spare process opened the device; it ends\n")
        os._exit(EXIT_TOUCHED_DEVICE)
    on_imported(time.monotonic() - started)

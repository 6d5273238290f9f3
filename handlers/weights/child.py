"""The child that brings one repository: `python -m handlers.weights.child PID`, the order on stdin as JSON.

It answers with lines of JSON: `{"note": words}`, at last `{"done": true}` or `{"failed": words, "again": whether}`.
Of several workers on one volume one brings; the others wait, and find everything there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from filelock import LeaseCompromise, SoftFileLease, Timeout

from handlers.runtime.lifeline import leave_signals_to_the_daemon, tie_to_parent
from handlers.weights.hub import BringError, Bringing
from handlers.weights.repository import BESIDE, OnNote, Repository, lacking

CLAIM = "claim"
LOOK_S = 2.0
LOST = 3
"""The status of a child that another took the claim from: it writes nothing more."""


def bring(order: dict[str, Any], on_note: OnNote) -> None:
    """Have all files of a repository in its folder. Raises: BringError."""
    repository = Repository(**{**order["repository"], "files": tuple(order["repository"]["files"])})
    folder = Path(order["folder"])
    try:
        (folder / BESIDE).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BringError(f"{folder} cannot be written: {os.strerror(error.errno or 0)}") from error
    with claimed(folder, order["lease_s"], order["claim_s"], on_note):
        if lacking(repository, folder) is not None:
            Bringing(repository, folder, order["token"], on_note).run()


@contextmanager
def claimed(folder: Path, lease_s: float, claim_s: float, on_note: OnNote) -> Iterator[None]:
    """Be the only one who writes there. A holder that is dead or silent for its lease loses its claim.

    Raises: BringError when another holds it for longer than `claim_s`.
    """
    lease = SoftFileLease(folder / BESIDE / CLAIM, lease_duration=lease_s, on_compromise=_leave)
    until_s = time.monotonic() + claim_s
    while True:
        try:
            lease.acquire(timeout=LOOK_S, poll_interval=LOOK_S / 10)
            break
        except Timeout:
            on_note(f"another worker fills {folder}; waiting for it")
        except OSError as error:
            raise BringError(f"{folder} cannot be claimed: {error.strerror}", is_passing=True) from error
        if time.monotonic() > until_s:
            raise BringError(f"another worker has been filling {folder} for {claim_s:g} s", is_passing=True)
    try:
        yield
    finally:
        lease.release()


def _leave(_lost: LeaseCompromise) -> None:
    os._exit(LOST)


def main() -> None:
    """Bring what the daemon ordered, and tell how it went."""
    tie_to_parent(int(sys.argv[1]))
    leave_signals_to_the_daemon()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no answer
    try:
        bring(json.load(sys.stdin), lambda note: _tell(answers, {"note": note}))
    except BringError as error:
        _tell(answers, {"failed": str(error), "again": error.is_passing})
    except Exception as error:  # noqa: BLE001 - whatever it is, the daemon tells it
        _tell(answers, {"failed": f"{type(error).__name__} while bringing model files", "again": False})
    else:
        _tell(answers, {"done": True})
    os._exit(0)  # without waiting for what is still coming: the next process continues it


def _tell(stream: TextIO, told: dict[str, Any]) -> None:
    stream.write(json.dumps(told) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()

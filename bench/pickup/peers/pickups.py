"""What every peer's script does: enqueue one, wait until its handler starts, again; prints the milliseconds.

Runs under the peer's own Python: standard library only.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Callable

WARM = 3
DSN, COUNT = sys.argv[1], int(sys.argv[2])


class Pickups:
    """The handler calls `started`; `measure` runs on a thread of its own and gives the samples to the driver."""

    def __init__(self, longest_pause_s: float = 0.3) -> None:
        self._longest_pause_s = longest_pause_s
        self._seen = threading.Event()
        self._at = 0.0

    def started(self) -> None:
        """The handler runs now."""
        self._at = time.time()
        self._seen.set()

    def measure(self, enqueue: Callable[[], object]) -> None:
        """Enqueue by this call, one after the other."""
        samples = []
        for _ in range(WARM + COUNT):
            time.sleep(random.uniform(0.02, self._longest_pause_s))
            self._seen.clear()
            before = time.time()
            enqueue()
            if not self._seen.wait(30):
                raise TimeoutError("a handler never started")
            samples.append(1000 * (self._at - before))
        sys.stdout.write(json.dumps({"ms": samples[WARM:]}) + "\n")
        sys.stdout.flush()

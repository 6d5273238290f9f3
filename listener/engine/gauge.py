"""Watches the calls to one dependency: counted, timed, and told to its circuit.

Knows which endings a dependency is to blame for; does not know what happens when a circuit is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from listener.engine.breaker import Breaker
from listener.errors import (
    ListenerError,
    ModerationDown,
    ProviderDown,
    ProviderMisconfigured,
    RuntimeDied,
    StoreRejected,
    StoreUnavailable,
)
from listener.ports import Clock
from listener.telemetry.metrics import Metrics

BLAMED = (StoreUnavailable, RuntimeDied, ProviderDown, ProviderMisconfigured, ModerationDown)
"""What a dependency is to blame for; a 429 is not among them: it has a pace of its own."""
CERTAIN = (ProviderMisconfigured,)
"""What every further call would meet too: a key that is refused."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """Counts, times and judges the calls to one dependency."""

    breaker: Breaker
    metrics: Metrics
    clock: Clock

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        """Watch one call. A refusal is an answer: the dependency works."""
        began = self.clock.monotonic()
        result = "ok"
        try:
            yield
        except BLAMED as error:
            result = "unavailable"
            self.breaker.failed(error, certain=isinstance(error, CERTAIN))
            raise
        except ListenerError as error:
            result = "rejected"
            if isinstance(error, StoreRejected):
                self.breaker.succeeded()
            raise
        except BaseException:
            result = "interrupted"
            raise
        else:
            self.breaker.succeeded()
        finally:
            self.metrics.called(self.breaker.name, call, result, self.clock.monotonic() - began)

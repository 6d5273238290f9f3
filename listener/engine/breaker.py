"""A circuit per dependency: it opens by itself when calls keep failing, and closes by itself when one works again.

Knows counts, pauses and trials; does not know what is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from listener.contract import Log
from listener.engine.backoff import Backoff
from listener.errors import ListenerError
from listener.ports import Clock

WATCH_S = 0.2


class State(Enum):
    """Where a circuit stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


Probe = Callable[[], Awaitable[None]]
"""A cheap call to the dependency. Raises: ListenerError when it does not work."""


@dataclass(slots=True)
class Patience:
    """How much a circuit bears. Units: seconds; `failures` in a row open it, `pause` grows each time it opens anew."""

    failures: int = 5
    pause: Backoff = field(default_factory=lambda: Backoff(first_s=2.0, limit_s=30.0))


class Breaker:
    """The circuit of one dependency.

    Open: nothing that needs the dependency begins. After the pause it is half open: the probe is made, or, where there
    is none, one session is the trial. A probe that works closes it, but until real work has worked the next failure
    opens it at once, for longer: a probe can lie. `asks_first`: it begins half open, its probe comes before all work.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        log: Log,
        probe: Probe | None = None,
        patience: Patience | None = None,
        *,
        asks_first: bool = False,
    ) -> None:
        self.name = name
        self.opened_count = 0
        self.last_error: str | None = "it was not asked yet" if asks_first else None
        self._clock = clock
        self._log = log
        self._probe = probe
        self._patience = patience or Patience()
        self._state = State.HALF_OPEN if asks_first else State.CLOSED
        self._failures = 0
        self._until = 0.0

    @property
    def state(self) -> State:
        """Closed, open, or half open when the pause is over."""
        if self._state is State.OPEN and self._clock.monotonic() >= self._until:
            self._state = State.HALF_OPEN
            self._log.info("circuit_half_open", dependency=self.name)
        return self._state

    @property
    def needs_probe(self) -> bool:
        """Whether the pause is over and a probe has to decide."""
        return self.state is State.HALF_OPEN and self._probe is not None

    @property
    def on_trial(self) -> bool:
        """Whether the pause is over and the next session decides."""
        return self.state is State.HALF_OPEN and self._probe is None

    def refusal(self) -> str | None:
        """Why nothing that needs the dependency may begin now, if so."""
        if self.state is State.CLOSED or self.on_trial:
            return None
        return f"{self.name} keeps failing: {self.last_error}"

    def succeeded(self) -> None:
        """Real work worked."""
        self.last_error = None
        self._failures = 0
        self._patience.pause.reset()
        self._close()

    def failed(self, error: Exception, *, certain: bool = False) -> None:
        """Real work failed in a way that the dependency is to blame for; `certain`: so would all that follows."""
        self.last_error = f"{error}"
        self._failures += 1
        too_many = certain or self._failures >= self._patience.failures
        if self.state is State.HALF_OPEN or (self._state is State.CLOSED and too_many):
            self._open()

    async def probe(self) -> None:
        """Ask the dependency; the answer decides."""
        if self._probe is None:
            return
        try:
            await self._probe()
        except ListenerError as error:
            if self.state is State.HALF_OPEN:  # real work may have decided meanwhile
                self.last_error = f"{error}"
                self._open()
            return
        if self._failures == 0:
            self.succeeded()  # nothing that is real has failed yet
        elif self.state is State.HALF_OPEN:
            self._failures = self._patience.failures - 1
            self._close()

    def _open(self) -> None:
        pause_s = self._patience.pause.next_s()
        self._state, self._until = State.OPEN, self._clock.monotonic() + pause_s
        self.opened_count += 1
        self._log.warning(
            "circuit_opened",
            dependency=self.name,
            failures=self._failures,
            error=self.last_error,
            pause_s=round(pause_s, 2),
        )

    def _close(self) -> None:
        if self._state is not State.CLOSED:
            self._state = State.CLOSED
            self._log.info("circuit_closed", dependency=self.name)


class Circuits:
    """All circuits. What needs one of `needed` does not begin while it is open; others can stand in for `replaceable`.

    `busy` counts the attempts that run; `careful` tells when one session decides about one of the replaceable.
    """

    def __init__(
        self,
        needed: Iterable[Breaker],
        busy: Callable[[], int],
        replaceable: Iterable[Breaker] = (),
        careful: Callable[[], bool] = lambda: False,
    ) -> None:
        self.needed = tuple(needed)
        self.breakers = (*self.needed, *replaceable)
        self._busy = busy
        self._careful = careful

    def refusal(self) -> str | None:
        """The first reason against claiming."""
        for breaker in self.needed:
            if (reason := breaker.refusal()) is not None:
                return reason
            if breaker.on_trial and self._busy():
                return f"{breaker.name} is on trial with one session"
        return None

    def most(self, free: int) -> int:
        """How many sessions may be claimed at once: one while a circuit is on trial."""
        on_trial = any(breaker.on_trial for breaker in self.needed) or self._careful()
        return min(free, 1) if on_trial else free

    async def run(self) -> None:
        """Probe what is half open, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for breaker in self.breakers:
                group.create_task(_watch(breaker), name=f"circuit:{breaker.name}")


async def _watch(breaker: Breaker) -> None:
    while True:
        if breaker.needs_probe:
            await breaker.probe()
        await asyncio.sleep(WATCH_S)

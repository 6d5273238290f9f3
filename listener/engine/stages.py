"""Where an attempt's time goes: fetching, waiting in line, generating, encoding, uploading. Knows a clock only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from listener.contract import IN_LINE, OnStep
from listener.engine.allowance import Allowance
from listener.engine.spending import Spending
from listener.ports import Clock

FETCH, WAIT, GENERATE, ENCODE, UPLOAD = "fetch", "wait", "generate", "encode", "upload"

OnStage = Callable[[str, str, float], None]
"""Called with the kind, the stage and its seconds."""


class Stages:
    """Adds up the seconds of each stage of one attempt and tells each as it ends."""

    def __init__(self, kind: str, clock: Clock, on_stage: OnStage) -> None:
        self._kind = kind
        self._clock = clock
        self._on_stage = on_stage
        self._generated_at: float | None = None
        self.took_s: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self.ended(name, self._clock.monotonic() - began)

    def now(self) -> float:
        """The time, in seconds of the engine's monotonic clock."""
        return self._clock.monotonic()

    def ended(self, name: str, duration_s: float) -> None:
        """A stage took so long."""
        self.took_s[name] = round(self.took_s.get(name, 0.0) + duration_s, 3)
        self._on_stage(self._kind, name, duration_s)

    def generated(self) -> None:
        """Images are there; from here to the first file that is saved, the handler encodes."""
        self._generated_at = self._clock.monotonic()

    def saving(self) -> None:
        """A file is about to be uploaded."""
        if self._generated_at is not None:
            self.ended(ENCODE, self._clock.monotonic() - self._generated_at)
            self._generated_at = None


class Turn:
    """One request of an attempt on its way through the line and the device: what of it counts as waiting, and how long
    a device of ours works on it."""

    def __init__(self, allowance: Allowance, stages: Stages, spending: Spending) -> None:
        self._allowance = allowance
        self._stages = stages
        self._spending = spending
        self._since: float | None = None
        self._waited_s = 0.0
        self._is_elsewhere = False
        self._works_since: float | None = None

    def __enter__(self) -> Turn:
        self._began = self._works_since = self._stages.now()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop_working()
        self._add_up()
        self._allowance.ends(self)
        self._stages.ended(WAIT, self._waited_s)
        self._stages.ended(GENERATE, self._stages.now() - self._began - self._waited_s)
        if kind is None:
            self._stages.generated()

    def stands(self) -> None:
        """It is in line."""
        if self._since is None:
            self._stop_working()
            self._since = self._stages.now()
            self._allowance.waits(self)

    def goes_on(self) -> None:
        """It has left the line."""
        if self._since is not None:
            self._add_up()
            self._allowance.works(self)
            self._go_on_working()

    def goes_to(self, *, elsewhere: bool) -> None:
        """From now on it is made here, or by a provider, whose time is no device's of ours."""
        self._stop_working()
        self._is_elsewhere = elsewhere
        self._go_on_working()

    def _stop_working(self) -> None:
        if self._works_since is not None:
            self._spending.device_worked(self._stages.now() - self._works_since)
        self._works_since = None

    def _go_on_working(self) -> None:
        if self._since is None and not self._is_elsewhere:
            self._works_since = self._stages.now()

    def _add_up(self) -> None:
        if self._since is not None:
            self._waited_s += self._stages.now() - self._since
        self._since = None


class Steps:
    """What a generator tells its steps to: the turn hears of the line, `report` of the steps."""

    def __init__(self, turn: Turn, report: OnStep) -> None:
        self._turn = turn
        self._report = report

    def __call__(self, done: int, total: int) -> None:
        """So many steps of so many are done; IN_LINE while it waits for a device."""
        self._turn.stands() if (done, total) == IN_LINE else self._turn.goes_on()
        self._report(done, total)

    def goes_to(self, *, elsewhere: bool) -> None:
        """Who chooses among generators says whether the next one is somebody else's."""
        self._turn.goes_to(elsewhere=elsewhere)

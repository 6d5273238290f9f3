"""Several generators for one kind, in configured order: the first that can work makes it, the next when it cannot.

Knows which endings let another one try; does not know what a generator is, or whose.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from listener.contract import (
    DeviceLender,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorStatus,
    Log,
    OnStep,
    Permit,
)
from listener.engine.breaker import Breaker
from listener.engine.stages import Steps
from listener.errors import AttemptFailure, ModelUnavailable, ProviderDown, ProviderMisconfigured
from listener.ports import Clock
from listener.telemetry.metrics import Metrics

PASSED_ON = (ModelUnavailable, ProviderDown, ProviderMisconfigured)
"""What lets the next one try: nothing was made, and it is not the request that is to blame."""


@dataclass(slots=True)
class Member:
    """One generator, its calls guarded by its circuit.

    `limit` takes the permits that one elsewhere has to wait for; `lender` is itself where it has a device to lend.
    """

    name: str
    generator: Generator
    breaker: Breaker
    limit: Callable[[Permit], None] | None = None
    lender: DeviceLender | None = None
    trials: int = field(default=0)

    def refusal(self, kind: str, kinds: Collection[str]) -> str | None:
        """Why it can make nothing of this kind now, if so; `kinds` are all that are served."""
        return self.breaker.refusal() or self.generator.status().refusal(kind, kinds)

    @property
    def waits_for_trial(self) -> bool:
        """Whether one request decides at this moment whether its circuit closes."""
        return self.breaker.on_trial and self.trials > 0

    @contextmanager
    def on_trial(self) -> Iterator[None]:
        """Count what may be a trial."""
        self.trials += 1
        try:
            yield
        finally:
            self.trials -= 1


class RoutedGenerator:
    """One generator out of several.

    Whatever can work goes first, in configured order; then what is on trial with another request; then what may become
    ready while the request waits. An open circuit is not asked.
    """

    def __init__(
        self,
        members: Mapping[str, Member],
        routes: Mapping[str, Sequence[str]],
        metrics: Metrics,
        clock: Clock,
        log: Log,
    ) -> None:
        self._members = dict(members)
        self._routes = dict(routes)
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._busy: Callable[[str], int] = lambda _kind: 0

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        """The circuit of each."""
        return tuple(member.breaker for member in self._members.values())

    def attach(self, permit: Permit, busy: Callable[[str], int]) -> None:
        """Have the remote ones ask for permits; `busy` counts the sessions of a kind at work."""
        self._busy = busy
        for member in self._members.values():
            if member.limit is not None:
                member.limit(permit)

    async def start(self) -> None:
        """Begin to load all."""
        for member in self._members.values():
            await member.generator.start()

    async def close(self) -> None:
        """Close all."""
        for member in self._members.values():
            await member.generator.close()

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Make the images with the first that can.

        Raises: AttemptFailure: the last one's when none could, at once when another could do no better.
        """
        began, kind = self._clock.monotonic(), request.session_kind or request.kind
        passed = self._unknown(request.generator)
        last: AttemptFailure | None = None
        for member in self._candidates(kind, request.generator):
            if member.breaker.refusal() is not None:
                continue  # its circuit opened while another one was asked
            try:
                if isinstance(on_step, Steps):
                    on_step.goes_to(elsewhere=member.limit is not None)
                with member.on_trial():
                    generation = await member.generator.generate(self._left(request, began), on_step)
            except PASSED_ON as error:
                last = error
                passed.append(f"{member.name}: {error.code}")
                self._tell(member, kind, error)
                on_step(0, 1)  # it may have waited in line there; elsewhere its time runs
                continue
            self._metrics.generated(kind, member.name, generation.cost_usd)
            notes = (f"made by {member.name} ({'; '.join(passed)})",) if passed else ()
            return replace(generation, notes=(*generation.notes, *notes))
        raise last or ModelUnavailable(f"no generator of {kind} can work now", details={"kind": kind})

    def exclusive(self, borrower: str) -> AbstractAsyncContextManager[str]:
        """Lend a device of a generator that has its own. Raises: ModelUnavailable where none has."""
        for member in self._members.values():
            if member.lender is not None:
                return member.lender.exclusive(borrower)
        raise ModelUnavailable("none of the generators has a device of its own to lend")

    def servable(self, kinds: Sequence[str]) -> tuple[str, ...]:
        """Those of the kinds that somebody can make now; one on trial gets one session at a time."""
        able = (kind for kind in kinds if self._refusal(kind) is None)
        return tuple(kind for kind in able if not (self._is_on_trial(kind) and self._busy(kind)))

    def careful(self) -> bool:
        """Whether one session is to be claimed at a time, because the next of its kind is a trial."""
        return any(self._is_on_trial(kind) for kind in self._routes)

    def status(self) -> GeneratorStatus:
        """Ready while there is a kind that somebody can make; the details of those on this machine stand at the top."""
        refusals = {kind: self._refusal(kind) for kind in self._routes}
        words = [f"{kind}: {refusal or 'by ' + self._first(kind)}" for kind, refusal in refusals.items()]
        details: dict[str, Any] = {}
        for member in self._members.values():
            details |= {} if member.limit else member.generator.status().details
        details["routes"] = {kind: list(names) for kind, names in self._routes.items()}
        details["generators"] = {name: self._shown(member) for name, member in self._members.items()}
        ready = any(one is None for one in refusals.values())
        here = [member.generator.status().sick for member in self._members.values() if member.limit is None]
        pipelines = {kind: refusal if refusal and self._lacks(kind) else "" for kind, refusal in refusals.items()}
        return GeneratorStatus(ready, "; ".join(words), details, not ready and bool(here) and all(here), pipelines)

    def _candidates(self, kind: str, preferred: str | None) -> list[Member]:
        """Whom to ask, in order."""
        members = self._of(kind)
        if preferred is not None:
            wanted = self._members.get(preferred)
            if wanted is None:
                self._log.warning("generator_unknown", generator=preferred, kind=kind)
            else:
                members = [wanted, *(member for member in members if member is not wanted)]
        closed = [member for member in members if member.breaker.refusal() is None]
        able = [member for member in closed if member.refusal(kind, self._routes) is None]
        free = [member for member in able if not member.waits_for_trial]
        return [*free, *(one for one in able if one not in free), *(one for one in closed if one not in able)]

    def _unknown(self, preferred: str | None) -> list[str]:
        """What the result tells of a generator that was asked for by name and is not here."""
        return [] if preferred is None or preferred in self._members else [f"{preferred}: unknown here"]

    def _of(self, kind: str) -> list[Member]:
        return [self._members[name] for name in self._routes.get(kind, ())]

    def _refusal(self, kind: str) -> str | None:
        """Why nobody can make this kind now, if so; a kind without a route is none of our business."""
        refusals = [(member.name, member.refusal(kind, self._routes)) for member in self._of(kind)]
        if not refusals or any(words is None for _, words in refusals):
            return None
        return ", ".join(f"{name}: {words}" for name, words in refusals)

    def _lacks(self, kind: str) -> bool:
        """Whether somebody works and cannot make it; what loads or is away tells of itself."""
        seen = (member.generator.status() for member in self._of(kind))
        return any(status.ready and status.refusal(kind, self._routes) for status in seen)

    def _is_on_trial(self, kind: str) -> bool:
        """Whether nobody can make it but generators whose circuit the next request decides about."""
        able = [member for member in self._of(kind) if member.refusal(kind, self._routes) is None]
        return bool(able) and all(member.breaker.on_trial for member in able)

    def _first(self, kind: str) -> str:
        return next(member.name for member in self._of(kind) if member.refusal(kind, self._routes) is None)

    def _left(self, request: GenerationRequest, began: float) -> GenerationRequest:
        if request.time_left_s is None:
            return request
        return replace(request, time_left_s=max(0.0, request.time_left_s - (self._clock.monotonic() - began)))

    def _tell(self, member: Member, kind: str, error: AttemptFailure) -> None:
        level = self._log.error if isinstance(error, ProviderMisconfigured) else self._log.warning
        level("generator_failed", generator=member.name, kind=kind, code=error.code, details=error.details)

    def _shown(self, member: Member) -> dict[str, Any]:
        status = member.generator.status()
        model = {"model": status.details["model"]} if "model" in status.details else {}
        shown = {"ready": status.ready, "reason": status.reason, "circuit": member.breaker.state.value}
        return {**shown, "remote": member.limit is not None, **model}

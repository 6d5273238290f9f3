"""What is loaded, what is not and why: the host's notebook, and the words of its status. Does nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from handlers.runtime.tally import Tally
from listener.contract import GeneratorConfig, GeneratorStatus


@dataclass(slots=True)
class KindState:
    """One kind's pipeline: the facts of a loaded one, or the reason why it is not, or how far it is.

    `wanted` ones are loaded before the device is ready, the others at their first use. An evicted one has facts and is
    not resident.
    """

    wanted: bool = True
    facts: Mapping[str, Any] | None = None
    resident: bool = False
    failure: str = ""
    note: str = "waiting for the runtime to start"


@dataclass(slots=True)
class Readiness:
    """The state of one child and of each kind it serves."""

    kinds: dict[str, KindState]
    closed: bool = False
    pid: int | None = None
    starts: int = 0
    last_exit: str = ""
    retry_in_s: float | None = None
    lent_to: str = ""
    quarantine: str = ""
    memory: Mapping[str, Any] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def of(cls, config: GeneratorConfig) -> Readiness:
        """Begin with nothing loaded."""
        kinds = [pipeline.kind for pipeline in config.pipelines]
        wanted = kinds if config.preload is None else config.preload
        return cls({kind: KindState(wanted=kind in wanted) for kind in kinds})

    def started(self, pid: int) -> None:
        """A child runs; nothing is loaded yet."""
        self.pid, self.retry_in_s = pid, None
        self.starts += 1

    def ended(self, words: str, reason: str) -> None:
        """The child is gone and everything it had loaded; `reason` is one word of a short list."""
        self.pid, self.last_exit = None, words
        self.tally.restarts[reason] += 1
        note = f"the runtime {words}; it is being restarted"
        for kind, state in self.kinds.items():
            self.kinds[kind] = KindState(wanted=state.wanted, failure=state.failure, note=note)

    def loading(self, kind: str, note: str) -> None:
        """A load goes on."""
        self.kinds[kind].note = note

    def loaded(self, kind: str, facts: Mapping[str, Any]) -> None:
        """A kind can be served at once; for its sake others may have left the device."""
        self.kinds[kind] = KindState(self.kinds[kind].wanted, facts, resident=True, note="loaded")
        self.memory = facts.get("memory", {})
        self.tally.load_s[kind] = float(facts.get("total_s", 0.0))
        self.evicted(facts.get("evicted", ()), kind)

    def evicted(self, kinds: Iterable[str], favoured: str) -> None:
        """Some left the device for the sake of another."""
        for kind in kinds:
            self.kinds[kind].resident = False
            self.kinds[kind].note = f"evicted for {favoured}; loaded again at its next use"

    def failed(self, kind: str, reason: str) -> None:
        """A kind cannot be loaded."""
        self.kinds[kind] = KindState(self.kinds[kind].wanted, failure=reason)

    def is_resident(self, kind: str) -> bool:
        """Tell whether a kind can be served without loading."""
        return self.kinds[kind].resident

    def missing(self) -> list[str]:
        """Name the kinds that are to be loaded from the start, and are not; a failed one counts whatever it is."""
        return [kind for kind, state in self.kinds.items() if state.facts is None and (state.wanted or state.failure)]

    def failing(self) -> list[str]:
        """Name the kinds that could not be loaded when it was tried last."""
        return [kind for kind, state in self.kinds.items() if state.failure]

    def standby_classes(self, standby: bool | None) -> list[str] | None:
        """Name what a spare child is to know; None where there is to be none (None: one on a GPU)."""
        loaded = [state.facts for state in self.kinds.values() if state.facts is not None]
        on_gpu = any(str(facts["device"]).startswith("cuda") for facts in loaded)
        if not loaded or not (on_gpu if standby is None else standby):
            return None
        return sorted({str(facts["pipeline_class"]) for facts in loaded})

    def any_loaded(self) -> bool:
        """Tell whether the child has loaded anything."""
        return any(state.facts is not None for state in self.kinds.values())

    def can_serve(self) -> bool:
        """Tell whether the child is of use: it has loaded something, or may at the next request."""
        return any(state.facts is not None or not (state.wanted or state.failure) for state in self.kinds.values())

    def obstacle(self, kind: str | None = None) -> str:
        """Tell why it is in vain to wait for the device, or for a kind; empty when it is not."""
        if self.closed:
            return "the generator is closed"
        if kind is None:
            return self.quarantine
        if kind not in self.kinds:
            return f"no pipeline is configured for {kind}: name its model in LISTENER_{kind.upper()}_MODEL"
        return self.quarantine or self.kinds[kind].failure

    def status(self) -> GeneratorStatus:
        """Say it in words. Ready when all that is to be loaded was tried, and something can be made."""
        free = not (self.closed or self.quarantine or self.lent_to)
        settled = self.pid is not None and all(self.kinds[kind].failure for kind in self.missing())
        ready = free and settled and self.can_serve()
        pipelines = {kind: state.failure for kind, state in self.kinds.items()}
        return GeneratorStatus(ready, self._reason(), self._details(), sick=self._is_sick(), pipelines=pipelines)

    def _is_sick(self) -> bool:
        """Tell whether the device rests, or nothing can be loaded; not while a load may still work."""
        missing = [self.kinds[kind] for kind in self.missing()]
        all_failed = bool(missing) and all(state.failure for state in missing) and not self.can_serve()
        return not self.closed and (bool(self.quarantine) or all_failed)

    def _reason(self) -> str:
        if self.closed:
            return "the generator is closed"
        if self.quarantine:
            return self.quarantine
        if self.lent_to:
            return f"the device is lent to {self.lent_to}"
        is_failing = any(state.failure for state in self.kinds.values())
        retry = f" (next try in {self.retry_in_s:g} s)" if is_failing and self.retry_in_s is not None else ""
        return "; ".join(self._words(kind, state) for kind, state in self.kinds.items()) + retry

    def _words(self, kind: str, state: KindState) -> str:
        if state.facts is None and state.failure:
            return f"{kind}: {state.failure}"
        if state.facts is None:
            return f"{kind}: {state.note if state.wanted or self.pid is None else 'loaded at its first use'}"
        where = f"on {state.facts['device']}" if state.resident else state.note
        return f"{kind}: {state.facts['pipeline_class']} ({state.facts['model']}) {where}"

    def _details(self) -> dict[str, Any]:
        pipelines = {
            kind: {**(state.facts or {"failure": state.failure}), "resident": state.resident, "note": state.note}
            for kind, state in self.kinds.items()
        }
        return {
            "pid": self.pid,
            "restarts": max(0, self.starts - 1),
            **self.tally.facts(),
            "last_exit": self.last_exit or None,
            "lent_to": self.lent_to or None,
            "memory": dict(self.memory),
            "pipelines": pipelines,
        }

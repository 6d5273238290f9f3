"""What is loaded, what is not and why: the host's notebook, and the words of its status. Does nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from listener.contract import GeneratorStatus


@dataclass(slots=True)
class KindState:
    """One kind's pipeline: the facts of a loaded one, or the reason why it is not, or how far it is."""

    facts: Mapping[str, Any] | None = None
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
    memory: Mapping[str, Any] = field(default_factory=dict)

    def started(self, pid: int) -> None:
        """A child runs; nothing is loaded yet."""
        self.pid, self.retry_in_s = pid, None
        self.starts += 1

    def ended(self, words: str) -> None:
        """The child is gone and everything it had loaded."""
        self.pid, self.last_exit = None, words
        for kind, state in self.kinds.items():
            self.kinds[kind] = KindState(failure=state.failure, note=f"the runtime {words}; it is being restarted")

    def loading(self, kind: str, note: str) -> None:
        self.kinds[kind].note = note

    def loaded(self, kind: str, facts: Mapping[str, Any]) -> None:
        self.kinds[kind] = KindState(facts=facts, note="loaded")
        self.memory = facts.get("memory", {})

    def failed(self, kind: str, reason: str) -> None:
        self.kinds[kind] = KindState(failure=reason)

    def missing(self) -> list[str]:
        """Name the kinds that are not loaded."""
        return [kind for kind, state in self.kinds.items() if state.facts is None]

    def any_loaded(self) -> bool:
        """Tell whether the child can serve anything."""
        return any(state.facts is not None for state in self.kinds.values())

    def obstacle(self, kind: str) -> str:
        """Tell why a run of this kind would be in vain; empty when it may run or wait."""
        if self.closed:
            return "the generator is closed"
        if kind not in self.kinds:
            return f"no pipeline is configured for {kind}"
        return self.kinds[kind].failure

    def status(self) -> GeneratorStatus:
        """Say it in words."""
        ready = not self.closed and self.pid is not None and not self.missing()
        return GeneratorStatus(ready=ready, reason=self._reason(), details=self._details())

    def _reason(self) -> str:
        if self.closed:
            return "the generator is closed"
        failures = [f"{kind}: {state.failure}" for kind, state in self.kinds.items() if state.failure]
        if failures:
            retry = "" if self.retry_in_s is None else f" (next try in {self.retry_in_s:g} s)"
            return "; ".join(failures) + retry
        loading = [f"{kind}: {self.kinds[kind].note}" for kind in self.missing()]
        if loading:
            return "; ".join(loading)
        return "; ".join(
            f"{kind}: {state.facts['pipeline_class']} ({state.facts['model']}) on {state.facts['device']}"
            for kind, state in self.kinds.items()
            if state.facts is not None
        )

    def _details(self) -> dict[str, Any]:
        pipelines = {
            kind: dict(state.facts) if state.facts is not None else {"failure": state.failure, "note": state.note}
            for kind, state in self.kinds.items()
        }
        return {
            "pid": self.pid,
            "restarts": max(0, self.starts - 1),
            "last_exit": self.last_exit or None,
            "memory": dict(self.memory),
            "pipelines": pipelines,
        }

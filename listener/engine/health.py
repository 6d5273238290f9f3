"""What works at this moment and what does not, as the parts themselves tell it. Asks nothing over the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part: `required` ones keep the worker from serving when they fail, the others only degrade it.

    `held` says by kind why one that fails keeps the worker from serving this kind alone.
    """

    ok: bool
    reason: str = ""
    required: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)


Probe = Callable[[], PartStatus]


class Health:
    """All parts by name."""

    def __init__(self) -> None:
        self._probes: dict[str, Probe] = {}

    def add(self, name: str, probe: Probe) -> None:
        """Ask this part from now on; it must answer at once and never raise."""
        self._probes[name] = probe

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that are asked."""
        return tuple(self._probes)

    def parts(self) -> dict[str, PartStatus]:
        """Every part's status now."""
        return {name: probe() for name, probe in self._probes.items()}

    def reasons(self) -> dict[str, str]:
        """Why this worker cannot serve now: the required parts that fail."""
        return {name: part.reason for name, part in self.parts().items() if part.required and not part.ok}

    def held(self) -> dict[str, str]:
        """What this worker does not serve now, by its name, and why; the rest goes on."""
        return {what: reason for part in self.parts().values() for what, reason in part.held.items()}

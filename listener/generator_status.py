"""What a generator tells of itself: whether it can work, and which kinds it cannot make. A part of the contract.

Knows nothing of Supabase, HTTP, queues or torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class GeneratorStatus:
    """Whether a generator can work now, and if not, why in words; `sick`: waiting is not what it takes.

    Ready while it can make anything. `pipelines` says of each by name why it cannot be used now, or nothing where it
    can; a generator that tells of none can make whatever it is asked for.
    """

    ready: bool
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)
    sick: bool = False
    pipelines: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> dict[str, str]:
        """The pipelines that cannot be used now, and why."""
        return {name: reason for name, reason in self.pipelines.items() if reason}

    def refusal(self, kind: str, kinds: Collection[str]) -> str | None:
        """Why nothing of this kind can be made now, if so; `kinds` are all that the worker serves.

        A kind waits for its own pipeline, and one without for every pipeline: it may ask for any. A pipeline that no
        kind is named after may be asked for by all of them.
        """
        if not self.ready:
            return self.reason
        needed = {
            name: reason
            for name, reason in self.missing.items()
            if name == kind or name not in kinds or kind not in self.pipelines
        }
        return "; ".join(f"{name}: {reason}" for name, reason in needed.items()) or None

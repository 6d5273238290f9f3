"""The scenarios as data, and the verdict on what a client made of one. Plays nothing itself."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.clients.matching import filled, misses

FOLDER = Path(__file__).parent / "scenarios"
Step = dict[str, Any]
Transcript = list[dict[str, Any]]
"""For each step that was played `{"answer": value}` or `{"refused": {"code", "message"}}`."""


@dataclass(frozen=True)
class Scenario:
    """One thing that an app does, as steps."""

    name: str
    says: str
    steps: list[Step]
    run: Mapping[str, Any] = field(default_factory=dict)

    def begun(self, **more: Any) -> Scenario:
        """The scenario with what is different in each run."""
        fresh = {"row": str(uuid4()), "other": str(uuid4()), "word": secrets.token_hex(8), **more}
        return Scenario(self.name, self.says, self.steps, fresh)

    def as_json(self) -> dict[str, Any]:
        """What a player needs."""
        return {"steps": self.steps, "known": {"run": self.run}}


def scenarios() -> list[Scenario]:
    """All of them, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.toml"))]


def _read(path: Path) -> Scenario:
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    return Scenario(path.stem, told["says"], told["step"])


def judge(scenario: Scenario, transcript: Transcript) -> list[str]:
    """Everything that did not come as the scenario says; empty when all of it did."""
    known: dict[str, Any] = {"run": scenario.run}
    for number, step in enumerate(scenario.steps, 1):
        place = f"step {number}, {step.get('by', 'me')}: {step['do']}"
        if number > len(transcript):
            return [f"{place}: not reached"]
        told = transcript[number - 1]
        if wrong := _misses_of_step(step, told, known):
            return [f"{place}{miss}" for miss in wrong]
        if "as" in step:
            known[step["as"]] = told["answer"]
    return []


def _misses_of_step(step: Step, told: dict[str, Any], known: Mapping[str, Any]) -> list[str]:
    if "refused" in step:
        if "refused" not in told:
            return [f": was not refused, but answered {told['answer']!r}"]
        return misses(filled(step["refused"], known), told["refused"])
    if "refused" in told:
        return [f": refused with {told['refused']!r}"]
    return misses(filled(step["expect"], known), told["answer"]) if "expect" in step else []

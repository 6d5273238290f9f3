"""The scenarios as data, and the verdict on what a client made of one. Plays nothing itself."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    needs: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)

    def begun(self, **more: Any) -> Scenario:
        """The scenario with what is different in each run."""
        fresh = {"row": str(uuid4()), "other": str(uuid4()), "word": secrets.token_hex(8), **more}
        return replace(self, run=fresh)

    def as_json(self) -> dict[str, Any]:
        """What a player needs."""
        return {"steps": self.steps, "known": {"run": self.run}}


def scenarios() -> list[Scenario]:
    """Those that need nothing but a project with a worker, by name."""
    every = [scenario(path.stem) for path in sorted(FOLDER.glob("*.toml"))]
    return [one for one in every if not one.needs]


def scenario(name: str) -> Scenario:
    """The one of this name."""
    told = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return Scenario(name, told["says"], told["step"], told.get("needs", ""))


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

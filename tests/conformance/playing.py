"""Plays one service's recordings on a fresh embedded stack: the same for the tests and for the command.

A player is `<service>_replay.py` with `async def play(stack: Stack, recordings: Path) -> list[Case]`: one case for
each recorded one, made by `Case.compared(label, differences)`.
Its test asserts that `objections(service, await played(service))` is empty.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from devstack.stack import open_stack
from tests.conformance.recording import RECORDINGS, labels
from tests.conformance.report import Case, Reasons, complaints, explained, share

HERE = Path(__file__).parent
LEAST = {"rest": 0.95, "storage": 0.95, "realtime": 0.90}
"""The share of the recorded cases that must conform."""


async def played(service: str) -> list[Case]:
    """The cases of a service, with their reasons, from a stack of their own without the project's migrations."""
    player = importlib.import_module(f"tests.conformance.{service}_replay")
    async with open_stack(migrate=False) as stack:
        cases = await player.play(stack, RECORDINGS)
    return explained(cases, reasons_of(service))


def reasons_of(service: str) -> Reasons:
    """What is written down for a service."""
    return Reasons.load(HERE / f"reasons_{service}.toml")


def objections(service: str, cases: list[Case]) -> list[str]:
    """Everything that makes a replay fail: what `complaints` says, and a share below the promised one."""
    said = complaints(cases, reasons_of(service), labels(RECORDINGS, service))
    if share(cases) < LEAST[service]:
        said.append(f"{share(cases):.1%} conform; {LEAST[service]:.0%} are promised")
    return said

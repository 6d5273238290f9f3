"""Reads the recordings: pairs of request and response, and the lines of the Realtime scenarios. Plays nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parent / "recordings"


@dataclass(frozen=True, slots=True)
class Request:
    """What the client sent; a body that was cut is `{bytes, head_b64}`."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Response:
    """What the real server answered."""

    status: int
    headers: dict[str, str]
    body: str | dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded pair; `at` is the epoch time of the recording, and the label is its own alone."""

    label: str
    at: float
    request: Request
    response: Response


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a scenario: who sent what on which connection, `t` seconds after the scenario's begin.

    A binary frame is in `binary_b64`; a refused connection has the `headers` of its answer.
    """

    t: float
    conn: str
    dir: str
    frame: str = ""
    binary_b64: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One recorded conversation with Realtime."""

    label: str
    lines: tuple[Line, ...]


def exchanges(recordings: Path, service: str) -> list[Exchange]:
    """The pairs of `rest` or `storage`, in their order; unlabelled and repeated ones get a name and a number."""
    lines = list(_lines(recordings / f"{service}.jsonl"))
    labels = _apart([line["label"] or f"{line['request']['method']} {line['request']['path']}" for line in lines])
    return [
        Exchange(label, line["at"], Request(**line["request"]), Response(**line["response"]))
        for label, line in zip(labels, lines, strict=True)
    ]


def scenarios(recordings: Path) -> list[Scenario]:
    """The Realtime scenarios, in their order."""
    found: dict[str, list[Line]] = {}
    for line in _lines(recordings / "realtime.jsonl"):
        found.setdefault(line.pop("scenario"), []).append(Line(**line))
    return [Scenario(label, tuple(lines)) for label, lines in found.items()]


def labels(recordings: Path, service: str) -> list[str]:
    """The label of every recorded case of a service: no player may leave one out."""
    cases: list[Scenario] | list[Exchange]
    cases = scenarios(recordings) if service == "realtime" else exchanges(recordings, service)
    return [case.label for case in cases]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _apart(names: list[str]) -> list[str]:
    """Equal names told apart by a number: `name`, `name (2)`, `name (3)`."""
    seen: Counter[str] = Counter()
    apart = []
    for name in names:
        seen[name] += 1
        apart.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return apart

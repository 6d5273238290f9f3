"""What a replay came to: cases, their reasons, and the table made of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

SERVICES = {"rest": "REST", "storage": "Storage", "realtime": "Realtime"}
BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"


class Verdict(StrEnum):
    """Conforms; refused on purpose, with an error the real server could give; or differs."""

    CONFORMS = "conforms"
    REFUSED = "refused"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded case, played. `difference` is what was seen, `reason` what the project says of it."""

    label: str
    verdict: Verdict
    difference: str = ""
    reason: str = ""

    @classmethod
    def compared(cls, label: str, differences: Sequence[str]) -> Case:
        """The case conforms when nothing differs."""
        return cls(label, Verdict.DIFFERS if differences else Verdict.CONFORMS, "\n".join(differences))


@dataclass(frozen=True, slots=True)
class Reasons:
    """`reasons_<service>.toml`: tables `refused` and `differs`, each label = reason."""

    refused: Mapping[str, str]
    differs: Mapping[str, str]

    @classmethod
    def load(cls, path: Path) -> Reasons:
        """Read them; a missing file holds none."""
        tables = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return cls(tables.get("refused", {}), tables.get("differs", {}))


def explained(cases: Iterable[Case], reasons: Reasons) -> list[Case]:
    """The cases with the reasons that are written down; one that is refused on purpose gets that verdict."""
    return [_explained(case, reasons) for case in cases]


def _explained(case: Case, reasons: Reasons) -> Case:
    if case.verdict is Verdict.CONFORMS:
        return case
    if case.label in reasons.refused:
        return replace(case, verdict=Verdict.REFUSED, reason=reasons.refused[case.label])
    return replace(case, verdict=Verdict.DIFFERS, reason=reasons.differs.get(case.label, ""))


def complaints(cases: Sequence[Case], reasons: Reasons, recorded: Sequence[str]) -> list[str]:
    """What keeps the table from being true: a case left out, a difference without a reason, a reason without one."""
    played = [case.label for case in cases]
    conforming = {case.label for case in cases if case.verdict is Verdict.CONFORMS}
    return [
        *(f"not played: {label}" for label in recorded if label not in played),
        *(f"played, but not recorded: {label}" for label in played if label not in recorded),
        *(
            f"differs, and no reason is written down: {case.label}\n{case.difference}"
            for case in cases
            if case.label not in conforming and not case.reason
        ),
        *(
            f"conforms now, so its reason must go: {label}"
            for label in (*reasons.refused, *reasons.differs)
            if label in conforming
        ),
        *(
            f"a reason for what is not recorded: {label}"
            for label in (*reasons.refused, *reasons.differs)
            if label not in recorded
        ),
    ]


def share(cases: Sequence[Case]) -> float:
    """How much of what is recorded conforms, from 0 to 1."""
    return sum(case.verdict is Verdict.CONFORMS for case in cases) / len(cases)


def table(played: Mapping[str, Sequence[Case]]) -> str:
    """The figures by service, and beneath them each case that does not conform, with its reason."""
    lines = ["| service | recorded | conform | refused on purpose | differ |", "|---|---:|---:|---:|---:|"]
    lines += [_row(service, cases) for service, cases in played.items()]
    for service, cases in played.items():
        lines += _list(service, [case for case in cases if case.verdict is not Verdict.CONFORMS])
    return "\n".join(lines) + "\n"


def _row(service: str, cases: Sequence[Case]) -> str:
    counts = {verdict: sum(case.verdict is verdict for case in cases) for verdict in Verdict}
    conform = f"{counts[Verdict.CONFORMS]} ({share(cases):.1%})"
    return f"| {SERVICES[service]} | {len(cases)} | {conform} | {counts[Verdict.REFUSED]} | {counts[Verdict.DIFFERS]} |"


def _list(service: str, cases: Sequence[Case]) -> list[str]:
    if not cases:
        return []
    head = ["", f"{SERVICES[service]}: what does not conform.", "", "| case | verdict | reason |", "|---|---|---|"]
    return head + [f"| {_cell(case.label)} | {case.verdict} | {_cell(case.reason)} |" for case in cases]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def written(page: str, made: str) -> str:
    """The page with what lies between the two markers replaced.

    Raises: ValueError when the page has no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{made}{END}{after}"

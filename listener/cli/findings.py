"""What a check found: a line with a status and, where something is wrong, what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from listener.telemetry.redact import clean_text

Status = Literal["ok", "warning", "failing"]
NAME_WIDTH = 12
STATUS_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `listener check`."""

    name: str
    status: Status
    words: str
    remedy: str = ""

    def shown(self) -> str:
        """As it is printed; nothing secret is left in it."""
        line = f"{self.name:{NAME_WIDTH}} {self.status:{STATUS_WIDTH}} {clean_text(self.words)}"
        if not self.remedy or self.status == "ok":
            return line
        return f"{line}\n{'':{NAME_WIDTH}} {'':{STATUS_WIDTH}} -> {clean_text(self.remedy)}"

    def as_json(self) -> dict[str, str]:
        """The same for programs."""
        return {
            "name": self.name,
            "status": self.status,
            "words": clean_text(self.words),
            "remedy": clean_text(self.remedy),
        }


def found(name: str, problems: list[str], fine: str, remedy: str, status: Status = "failing") -> Finding:
    """The finding of a list of problems: fine when there is none."""
    return Finding(name, status, "; ".join(problems), remedy) if problems else Finding(name, "ok", fine)

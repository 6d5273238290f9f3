"""The Prefer header: what the caller prefers, and what the answer says was applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from devstack.rest.errors import RestError

KNOWN = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "handling": ("strict", "lenient"),
    "tx": ("commit", "rollback"),
}
# The order in which PostgREST echoes them.
ECHOED = ("resolution", "missing", "return", "count", "handling", "timezone", "max-affected")


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences that were understood, by name, and what was not."""

    values: dict[str, str]
    invalid: tuple[str, ...] = ()

    @property
    def returned(self) -> Literal["representation", "minimal", "headers-only"]:
        """What a write answers with."""
        return cast(Literal["representation", "minimal", "headers-only"], self.values.get("return", "minimal"))

    @property
    def count(self) -> str | None:
        """How the total is counted, if at all."""
        return self.values.get("count")

    @property
    def counts(self) -> bool:
        """Whether the rows themselves are counted."""
        return self.count in ("exact", "estimated")

    @property
    def timezone(self) -> str | None:
        """The time zone in which times are wanted."""
        return self.values.get("timezone")

    @property
    def max_affected(self) -> int | None:
        """The number of rows above which a strict write is rolled back."""
        if self.values.get("handling") != "strict" or "max-affected" not in self.values:
            return None
        return int(self.values["max-affected"])

    def applied(self, *names: str) -> dict[str, str]:
        """The Preference-Applied header, limited to the preferences that this kind of request has."""
        echoed = [f"{name}={self.values[name]}" for name in ECHOED if name in names and name in self.values]
        return {"Preference-Applied": ", ".join(echoed)} if echoed else {}

    def without_timezone(self) -> Preferences:
        """The same, its time zone being none that PostgreSQL knows."""
        values = {name: value for name, value in self.values.items() if name != "timezone"}
        return Preferences(values, (*self.invalid, f"timezone={self.timezone}"))

    def check(self) -> None:
        """Refuse what was not understood, where the caller wants that.

        Raises: RestError PGRST122 with handling=strict.
        """
        if self.values.get("handling") == "strict" and self.invalid:
            details = f"Invalid preferences: {', '.join(self.invalid)}"
            raise RestError(400, "PGRST122", "Invalid preferences given with handling=strict", details)


def parse_prefer(headers: list[str]) -> Preferences:
    """Read all Prefer headers; the first value of a name counts."""
    values: dict[str, str] = {}
    invalid: list[str] = []
    for part in (part.strip() for header in headers for part in header.split(",")):
        name, _, value = part.partition("=")
        allowed = KNOWN.get(name)
        if (allowed and value in allowed) or (name == "max-affected" and value.isdecimal()) or name == "timezone":
            values.setdefault(name, value)
        elif part:
            invalid.append(part)
    return Preferences(values, tuple(invalid))

"""Alertmanager's webhook, version 4, and the few words that a person is told of it.

Source: Alertmanager's documentation, configuration, webhook_config.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, Field

SEVERITIES = ("critical", "warning", "info")
LONGEST_TEXT = 600
"""The Cloud API takes 1024 characters for a template's whole body."""
_GAP = re.compile(r"\s+")


class Alert(BaseModel):
    """One alert of a group; what is not used here is not looked at."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: str = Field(alias="startsAt", max_length=64)
    fingerprint: str = Field(min_length=1, max_length=64)

    @property
    def name(self) -> str:
        """The rule that made it."""
        return self.labels.get("alertname", "alert")

    @property
    def severity(self) -> str:
        """How bad it is, by the rule's word."""
        return self.labels.get("severity", SEVERITIES[-1])


class AlertGroup(BaseModel):
    """What Alertmanager posts: the alerts of one group, some of which may have ended."""

    version: Literal["4"]
    group_key: str = Field(alias="groupKey", min_length=1, max_length=4000)
    truncated_alerts: int = Field(0, alias="truncatedAlerts", ge=0)
    status: Literal["firing", "resolved"]
    alerts: list[Alert] = Field(min_length=1)

    def key(self) -> str:
        """The same for the same news: which alerts fire since when, and which have ended."""
        alerts = sorted(f"{one.fingerprint} {one.status} {one.starts_at}" for one in self.alerts)
        return hashlib.sha256("\n".join([self.group_key, *alerts]).encode()).hexdigest()

    def words(self) -> tuple[str, str, str]:
        """The template's three variables: how it stands, what happened, where the remedy is written."""
        shown = [one for one in self.alerts if one.status == self.status]
        what = f"{_listed(one.name for one in shown)}: {_listed(one.annotations.get('summary', '') for one in shown)}"
        where = _listed(one.annotations.get("runbook", "") for one in shown)
        return _one_line(self._state()), _one_line(what), _one_line(where)

    def _state(self) -> str:
        firing = [one for one in self.alerts if one.status == "firing"]
        if not firing:
            return "RESOLVED"
        worst = min((one.severity for one in firing), key=lambda word: (*SEVERITIES, word).index(word))
        count = len(firing) + self.truncated_alerts
        ended = len(self.alerts) - len(firing)
        return f"FIRING {worst}" + f", {count} alerts" * (count > 1) + f", {ended} resolved" * (ended > 0)


def _listed(words: Iterable[str]) -> str:
    """Each once, in their order."""
    return "; ".join(word for word in dict.fromkeys(words) if word)


def _one_line(text: str) -> str:
    """A variable of a template: not empty, no line breaks, no tabs, no runs of spaces, not too long."""
    line = _GAP.sub(" ", text).strip() or "-"
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"

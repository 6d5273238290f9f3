"""Alertmanager's configuration by its documented fields, as far as ours has them; any other is an error.

Source: Alertmanager's documentation, configuration. Who gets what is decided as it says there for routes and matchers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MATCHER = re.compile(r'(?P<name>[A-Za-z_]\w*) ?(?P<sign>=~|!~|!=|=) ?"(?P<value>[^"\\]*)"')
UNITS_S = {"s": 1, "m": 60, "h": 3600}


def _require_matcher(text: str) -> str:
    if not MATCHER.fullmatch(text):
        raise ValueError("no matcher with its value in double quotes")
    return text


Matcher = Annotated[str, AfterValidator(_require_matcher)]
Duration = Annotated[str, Field(pattern=r"^[1-9]\d*[smh]$")]


def seconds(text: str) -> int:
    """Prometheus's durations, those of one unit."""
    return int(text[:-1]) * UNITS_S[text[-1]]


class Documented(BaseModel):
    """Takes the fields that are documented, and no other."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Authorization(Documented):
    type: str = "Bearer"
    credentials_file: str


class HttpConfig(Documented):
    authorization: Authorization


class WebhookConfig(Documented):
    url: str = Field(pattern=r"^http://")
    send_resolved: bool = True
    max_alerts: int = Field(0, ge=0)
    timeout: Duration
    http_config: HttpConfig


class EmailConfig(Documented):
    send_resolved: bool = False
    to: str
    sender: str = Field(alias="from")
    smarthost: str = Field(pattern=r"^[^:]+:\d+$")
    auth_username: str | None = None
    auth_password_file: str | None = None


class Receiver(Documented):
    name: str
    webhook_configs: list[WebhookConfig] = Field(default_factory=list)
    email_configs: list[EmailConfig] = Field(default_factory=list)


class Route(Documented):
    receiver: str | None = None
    group_by: list[str] | None = None
    group_wait: Duration | None = None
    group_interval: Duration | None = None
    repeat_interval: Duration | None = None
    matchers: list[Matcher] = Field(default_factory=list)
    goes_on: bool = Field(False, alias="continue")
    routes: list[Route] = Field(default_factory=list)

    def chosen(self, labels: Mapping[str, str]) -> list[Route]:
        """The routes at which an alert ends, with what they inherit."""
        found: list[Route] = []
        for child in self.routes:
            if all(matches(matcher, labels) for matcher in child.matchers):
                inherited = self.model_dump(exclude={"routes", "matchers", "goes_on"}, exclude_none=True)
                given = child.model_dump(exclude_unset=True, by_alias=True)
                found += Route.model_validate(inherited | given).chosen(labels)
                if not child.goes_on:
                    break
        return found or [self]


class InhibitRule(Documented):
    source_matchers: list[Matcher] = Field(min_length=1)
    target_matchers: list[Matcher] = Field(min_length=1)
    equal: list[str] = Field(default_factory=list)


class Configuration(Documented):
    """The file."""

    route: Route
    receivers: list[Receiver]
    inhibit_rules: list[InhibitRule] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if self.route.matchers or self.route.receiver is None:
            raise ValueError("the first route takes every alert, and has a receiver")
        known = [receiver.name for receiver in self.receivers]
        if len(set(known)) < len(known):
            raise ValueError("a receiver stands there twice")
        if not {route.receiver or known[0] for route in self.route.routes} | {self.route.receiver} <= set(known):
            raise ValueError("a route names no receiver")
        return self

    def receiver(self, name: str) -> Receiver:
        """One by its name."""
        return next(one for one in self.receivers if one.name == name)

    def muted(self, labels: Mapping[str, str], others: list[Mapping[str, str]]) -> bool:
        """Whether one of the others that fire keeps this one from being told."""
        return any(
            all(matches(one, labels) for one in rule.target_matchers)
            and any(all(matches(one, other) for one in rule.source_matchers) for other in others)
            for rule in self.inhibit_rules
        )


def matches(matcher: str, labels: Mapping[str, str]) -> bool:
    """Regular expressions are anchored; a label that is not there is empty."""
    found = MATCHER.fullmatch(matcher)
    assert found is not None
    value = labels.get(found["name"], "")
    is_same = bool(re.fullmatch(found["value"], value)) if "~" in found["sign"] else value == found["value"]
    return is_same is not found["sign"].startswith("!")


def configuration(text: str) -> Configuration:
    """Read the file. Raises: ValueError for what is not documented."""
    read: Any = yaml.safe_load(text)
    return Configuration.model_validate(read)

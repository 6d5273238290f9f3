"""The settings of what this worker fetches for users, and posts to partners, on the open internet."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from listener.adapters.destinations import Policy
from listener.setting_values import Words

ALLOWED = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def _require_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(ALLOWED.fullmatch(host) for host in hosts):
        raise ValueError("each is a host, or host:port, as in minio.internal:9000 or [::1]")
    return tuple(host.lower() for host in hosts)


Hosts = Annotated[Words, AfterValidator(_require_hosts)]


class FetchSettings(BaseSettings):
    """The part of the settings that says where users' URLs may lead."""

    fetch_allow_hosts: Hosts = Field(
        (),
        validation_alias="LISTENER_FETCH_ALLOW_HOSTS",
        description="Hosts (or host:port) that may be private in URLs of users and partners, with commas between",
    )
    fetch_allow_http: bool = Field(
        False,
        validation_alias="LISTENER_FETCH_ALLOW_HTTP",
        description="Whether their URLs may be http (port 80) instead of https",
    )

    def fetch_policy(self) -> Policy:
        """What is let through."""
        return Policy(frozenset(self.fetch_allow_hosts), self.fetch_allow_http)

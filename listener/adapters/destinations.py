"""Reads a URL that somebody else wrote, and says where it leads, or why nothing is sent there.

Knows URLs and the operator's exceptions; looks up no name and opens no connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from yarl import URL

from listener.adapters.addresses import is_public
from listener.errors import Unusable

URL_CHARS_MAX = 4096
PORTS = {"https": 443, "http": 80}
# Whitespace, controls and backslashes are what parsers disagree about; what lies beyond ASCII is written in other ways.
_PRINTABLE = re.compile(r"[!-\[\]-~]+")
_FORM = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([/?#].*)?")
_AUTHORITY = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
NAME_CHARS_MAX = 253
# Names that only ever mean this machine or network. Source: IANA Special-Use Domain Names; ICANN for `internal`.
LOCAL_NAMES = frozenset({"arpa", "internal", "invalid", "lan", "local", "localhost", "onion", "test"})

PUBLIC = "give the https address of a file that everybody can open, or upload it"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator lets through: `host` or `host:port` that may be private, and plain http or not."""

    allow_hosts: frozenset[str] = frozenset()
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request may go. `is_named` is whether the operator named the host: its address is not judged then."""

    url: URL = field(repr=False)
    host: str
    port: int
    is_named: bool


def destination_of(url: str, policy: Policy) -> Destination:
    """Read a URL. Raises: Unusable, which repeats nothing of it."""
    scheme, authority = _parts(url)
    host, port = _host_and_port(scheme, authority)
    is_named = bool(policy.allow_hosts & {host, f"{host}:{port}"})
    if not is_named:
        _require_public_form(scheme, host.strip("[]"), port, policy)
    return Destination(_read_again(url, (scheme, host.strip("[]"), port, None)), host.strip("[]"), port, is_named)


def _read_again(url: str, expected: tuple[str, str, int, None]) -> URL:
    """Whoever connects reads the URL once more; both readings have to be the same."""
    try:
        parsed = URL(url, encoded=True)
        found = parsed.scheme, parsed.raw_host, parsed.port, parsed.raw_user
    except ValueError:
        found = None
    if found != expected:
        raise Unusable("is a URL that can be read in two ways", PUBLIC)
    return parsed


def _parts(url: str) -> tuple[str, str]:
    if len(url) > URL_CHARS_MAX:
        raise Unusable(f"has {len(url)} characters", f"use a URL of at most {URL_CHARS_MAX}")
    if _PRINTABLE.fullmatch(url) is None:
        raise Unusable("is not a plain URL", "percent-encode what is not a printable ASCII character")
    matched = _FORM.fullmatch(url)
    if matched is None or matched[1].lower() not in PORTS:
        raise Unusable("is not a web address", PUBLIC)
    return matched[1].lower(), matched[2]


def _host_and_port(scheme: str, authority: str) -> tuple[str, int]:
    if "@" in authority:
        raise Unusable("holds a user name or a password", "leave out what stands before the @")
    matched = _AUTHORITY.fullmatch(authority)
    if matched is None:
        raise Unusable("has no plain host name", PUBLIC)
    return matched[1].lower(), int(matched[2]) if matched[2] else PORTS[scheme]


def _require_public_form(scheme: str, host: str, port: int, policy: Policy) -> None:
    if scheme == "http" and not policy.allow_http:
        raise Unusable("is not encrypted", "give an https address")
    if port != PORTS[scheme]:
        raise Unusable("names a port of its own", "give an address without a port")
    if _is_address(host):
        if not is_public(host):
            raise Unusable("does not lead to the public internet", PUBLIC)
        return
    labels = host.split(".")
    if len(host) > NAME_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise Unusable("has no plain host name", PUBLIC)
    # 0x7f000001, 127.1, 017700000001: old ways to write an address, which every parser reads in its own.
    if _NUMBER.fullmatch(labels[-1]):
        raise Unusable("has an address in place of a host name", PUBLIC)
    if len(labels) == 1 or labels[-1] in LOCAL_NAMES:
        raise Unusable("does not lead to the public internet", PUBLIC)


def _is_address(host: str) -> bool:
    for kind in (IPv4Address, IPv6Address):
        try:
            kind(host)
        except ValueError:
            continue
        return True
    return False

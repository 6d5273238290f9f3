"""Keeps a process from the network for good. Knows Python's audit events; nothing that runs after it can undo it."""

from __future__ import annotations

import sys
from typing import Any

NETWORK = frozenset(
    {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"}
)


def forbid_network() -> None:
    """Refuse every connection and every look-up of a host from now on, with a PermissionError."""

    def refuse(event: str, _arguments: tuple[Any, ...]) -> None:
        if event in NETWORK:
            raise PermissionError(f"{event}: this process has no network")

    sys.addaudithook(refuse)

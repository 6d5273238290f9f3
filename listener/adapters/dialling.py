"""Turns names into addresses and addresses into sockets, for public ones only. Knows no HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from listener.adapters.addresses import is_public
from listener.adapters.destinations import PUBLIC
from listener.errors import Unusable

Lookup = Callable[[str, int], Sequence[str]]
"""Blocks; (name, port) -> numeric addresses. Raises: OSError."""
LOOKUPS = 16
UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def system_lookup(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Resolver(AbstractResolver):
    """Looks each name up once for each connection, and gives addresses only when all of them are public.

    Raises: Unusable for a name that does not exist or leads elsewhere, OSError when the lookup itself failed.
    """

    def __init__(self, lookup: Lookup, is_guarded: bool) -> None:
        self._lookup = lookup
        self._is_guarded = is_guarded
        # A thread that waits for a slow name server cannot be stopped: these are not the threads that others need.
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Find the addresses of a name."""
        loop = asyncio.get_running_loop()
        try:
            addresses = await loop.run_in_executor(self._threads, self._lookup, host, port)
        except UnicodeError:
            raise Unusable("has no plain host name", PUBLIC) from None
        except socket.gaierror as error:
            if error.errno in UNKNOWN:
                raise _no_such_host() from None
            raise
        if not addresses:
            raise _no_such_host()
        if self._is_guarded and not all(is_public(address) for address in addresses):
            raise _elsewhere()
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _no_such_host() -> Unusable:
    return Unusable("names a host that does not exist", "check the address for typing mistakes")


def _elsewhere() -> Unusable:
    return Unusable("does not lead to the public internet", PUBLIC)


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


class PublicSocket(socket.socket):
    """Connects to public addresses only: the last look, at the very address that is dialled, however it was found."""

    def connect(self, address: Any, /) -> None:
        """Connect. Raises: Unusable."""
        if self.family not in (socket.AF_INET, socket.AF_INET6) or not is_public(str(address[0])):
            raise _elsewhere()
        super().connect(address)


def public_socket(addr_info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """Make the socket for an address that was found. Raises: Unusable."""
    family, kind, protocol, _, address = addr_info
    if not is_public(str(address[0])):
        raise _elsewhere()
    return PublicSocket(family, kind, protocol)

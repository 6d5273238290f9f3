"""Faults that tests switch on; every service of the stack asks here before it hurts anybody.

Who asks, and what it has to call:
- the gateway asks `http_fault` about each request and registers each websocket: REST, Auth, Storage need no line;
- the live server reads `realtime_muted` and `subscribe_delay_s`, sends every event (a change or a broadcast) by
  `pass_on(topic, send)` instead of calling `send()`, and awaits `thawed()` before it writes a frame;
- sign-in reads `token_life_s`.

All chance comes from the seed: the same seed and the same order of requests hurt alike. Knows nothing of HTTP or SQL.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, Protocol

HttpKind = Literal["status", "late", "hang", "reset", "lost_answer", "expired_token"]
EventKind = Literal["lose", "duplicate", "delay"]
SUBSCRIBE_DELAY_S = 0.2
TOKEN_LIFE_S = 3600


class FaultImpossibleError(RuntimeError):
    """This stack cannot hurt in the way that was asked for; the text says why."""


class Socket(Protocol):
    """An open websocket, as the gateway registers it."""

    def drop(self, code: int | None) -> None:
        """Close with a code and no conversation, or, without one, cut the connection."""

    def freeze(self) -> None:
        """Stop reading: not even a ping is answered."""

    def thaw(self) -> None:
        """Read again."""


@dataclass(slots=True, kw_only=True)
class Aim:
    """Which of the matching ones are hit: from the `nth` on, `times` of them (None is all), each by `chance`.

    `seen` counts those that matched, `hits` those that were hurt.
    """

    nth: int = 1
    times: int | None = 1
    chance: float = 1.0
    seen: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    def strikes(self, dice: random.Random) -> bool:
        """Count one that matches, and decide."""
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        is_hit = self.chance >= 1 or dice.random() < self.chance
        self.hits += is_hit
        return is_hit


@dataclass(slots=True)
class HttpFault(Aim):
    """A request that goes wrong; `path` and `method` are shell patterns, as `/rest/v1/rpc/claim_*`.

    - `status`: answered so at once; no service hears of it
    - `late`: answered after `delay_s`
    - `hang`: never answered; ends when the client gives up
    - `reset`: the connection is reset; no service hears of it
    - `lost_answer`: the service does its work, then the connection is reset
    - `expired_token`: the service sees the caller's token as one that has ended
    """

    kind: HttpKind
    path: str = "*"
    method: str = "*"
    status: int = 500
    delay_s: float = 1.0
    retry_after_s: int | None = None


@dataclass(slots=True)
class EventFault(Aim):
    """An event of Realtime that is lost, comes twice, or comes `delay_s` late and so behind later ones."""

    kind: EventKind
    topic: str = "*"
    delay_s: float = 0.2


@dataclass(slots=True)
class Faults:
    """What the stack does wrong at the moment.

    Units: subscribe_delay_s lies between a Realtime join's reply and the live subscription, as on the real server;
           token_life_s is for access tokens signed from now on, and may be negative.
    """

    realtime_muted: bool = False
    subscribe_delay_s: float = SUBSCRIBE_DELAY_S
    token_life_s: int = TOKEN_LIFE_S
    seed: int = 0
    http: list[HttpFault] = field(default_factory=list)
    events: list[EventFault] = field(default_factory=list)
    restart: Callable[[], Awaitable[None]] | None = None
    _dice: random.Random = field(init=False, repr=False)
    _sockets: set[Socket] = field(default_factory=set, init=False, repr=False)
    _thawed: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)

    def __post_init__(self) -> None:
        """Nothing is frozen, and chance begins at the seed."""
        self._thawed.set()
        self.reseed(self.seed)

    def reseed(self, seed: int) -> None:
        """Begin chance anew."""
        self.seed = seed
        self._dice = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def hurt(self, fault: HttpFault) -> HttpFault:
        """Add a fault of requests, behind those that are there; the first that strikes is the only one."""
        self.http.append(fault)
        return fault

    def hurt_events(self, fault: EventFault) -> EventFault:
        """Add a fault of Realtime's events."""
        self.events.append(fault)
        return fault

    def heal(self) -> None:
        """End every fault; what was dropped stays dropped."""
        self.realtime_muted = False
        self.subscribe_delay_s, self.token_life_s = SUBSCRIBE_DELAY_S, TOKEN_LIFE_S
        self.http.clear()
        self.events.clear()
        self.thaw_sockets()

    def http_fault(self, method: str, path: str) -> HttpFault | None:
        """What happens to this request."""
        for fault in self.http:
            if fnmatchcase(method, fault.method) and fnmatchcase(path, fault.path) and fault.strikes(self._dice):
                return fault
        return None

    def pass_on(self, topic: str, send: Callable[[], None]) -> None:
        """Send an event of a topic (`realtime:...`): once, unless it is to be lost, doubled or late."""
        for fault in self.events:
            if fnmatchcase(topic, fault.topic) and fault.strikes(self._dice):
                if fault.kind == "delay":
                    asyncio.get_running_loop().call_later(fault.delay_s, send)
                for _ in range({"lose": 0, "duplicate": 2, "delay": 0}[fault.kind]):
                    send()
                return
        send()

    @property
    def sockets(self) -> int:
        """How many websockets are open."""
        return len(self._sockets)

    @contextmanager
    def registered(self, socket: Socket) -> Iterator[None]:
        """Let a websocket be dropped and frozen while the block runs."""
        self._sockets.add(socket)
        try:
            yield
        finally:
            self._sockets.discard(socket)

    def drop_sockets(self, code: int | None = None) -> int:
        """Drop every websocket, without a word or with a closing code; how many there were."""
        sockets = list(self._sockets)
        for socket in sockets:
            socket.drop(code)
        return len(sockets)

    def freeze_sockets(self) -> None:
        """Leave every websocket open and dead, new ones too: nothing is read, nothing is written."""
        self._thawed.clear()
        for socket in self._sockets:
            socket.freeze()

    def thaw_sockets(self) -> None:
        """Go on where it stopped."""
        for socket in self._sockets:
            socket.thaw()
        self._thawed.set()

    async def thawed(self) -> None:
        """Return when sockets may be written to."""
        await self._thawed.wait()

    async def restart_postgres(self) -> None:
        """Kill PostgreSQL as `pg_ctl -m immediate` does and start it again; returns when it accepts connections.

        Raises: FaultImpossibleError when the cluster is not the stack's own.
        """
        if self.restart is None:
            raise FaultImpossibleError("the stack was given its database, so it cannot restart it")
        await self.restart()

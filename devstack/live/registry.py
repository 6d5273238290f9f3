"""Which channels are joined and which subscriptions are live; plain bookkeeping, no database and no sockets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from devstack.changes.pgoutput import Change
from devstack.live.frames import Broadcast
from devstack.live.identity import Identity
from devstack.live.typed import Filters

PREFIX = "realtime:"


class Room(NamedTuple):
    """Whom a message reaches: a public and a private channel of one topic are two rooms."""

    topic: str
    is_private: bool


class Subscriber(Protocol):
    """A joined channel as the others see it."""

    topic: str
    room: Room

    def deliver_change(self, ids: list[int], kind: str, data: str) -> None:
        """Send a postgres_changes frame; `data` is JSON text."""

    def deliver_broadcast(self, broadcast: Broadcast) -> None:
        """Send another client's message."""

    def deliver_presence(self, diff: str) -> None:
        """Send who came and went; `diff` is JSON text."""

    def resubscribe(self) -> None:
        """Subscribe to the database again: what is published has changed."""


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """One binding of one channel on one table, as it was admitted."""

    id: int
    channel: Subscriber
    identity: Identity
    oid: int
    action: str
    filters: Filters
    select: tuple[str, ...] | None


class Registry:
    """All joined channels by room and all live subscriptions by table."""

    def __init__(self) -> None:
        self._members: defaultdict[Room, list[Subscriber]] = defaultdict(list)
        self._live: defaultdict[int, list[Subscription]] = defaultdict(list)

    def join(self, channel: Subscriber) -> None:
        """Let a channel hear what is said in its room."""
        self._members[channel.room].append(channel)

    def leave(self, channel: Subscriber) -> None:
        """Forget a channel and all its subscriptions."""
        self.replace(channel, ())
        members = self._members[channel.room]
        if channel in members:
            members.remove(channel)
        if not members:
            del self._members[channel.room]

    def replace(self, channel: Subscriber, subscriptions: Iterable[Subscription]) -> None:
        """Make these the subscriptions of a channel, instead of those it had."""
        for oid in list(self._live):
            kept = [each for each in self._live[oid] if each.channel is not channel]
            if kept:
                self._live[oid] = kept
            else:
                del self._live[oid]
        for each in subscriptions:
            self._live[each.oid].append(each)

    def forget_subscriptions(self) -> list[Subscriber]:
        """Forget every subscription; the channels that had one, which stay joined and are not told."""
        channels = {id(each.channel): each.channel for live in self._live.values() for each in live}
        self._live.clear()
        return list(channels.values())

    def interested(self, change: Change) -> list[Subscription]:
        """The live subscriptions that want a change, filters and row security aside."""
        return [each for each in self._live.get(change.relation.oid, ()) if each.action in {"*", change.kind}]

    def members(self, room: Room) -> Iterator[Subscriber]:
        """The channels of a room."""
        return iter(list(self._members.get(room, ())))

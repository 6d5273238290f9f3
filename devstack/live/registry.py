"""Which channels are joined and which subscriptions are live; plain bookkeeping, no database and no sockets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from devstack.changes.pgoutput import Change
from devstack.live.frames import Broadcast
from devstack.live.identity import Identity
from devstack.live.typed import Filters


class Subscriber(Protocol):
    """A joined channel as the others see it."""

    topic: str

    def deliver_change(self, ids: list[int], kind: str, data: str) -> None:
        """Send a postgres_changes frame; `data` is JSON text."""

    def deliver_broadcast(self, broadcast: Broadcast) -> None:
        """Send another client's message."""


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
    """All joined channels by topic and all live subscriptions by table."""

    def __init__(self) -> None:
        self._channels: defaultdict[str, list[Subscriber]] = defaultdict(list)
        self._live: defaultdict[int, list[Subscription]] = defaultdict(list)

    def join(self, channel: Subscriber) -> None:
        """Let a channel hear the broadcasts of its topic."""
        self._channels[channel.topic].append(channel)

    def leave(self, channel: Subscriber) -> None:
        """Forget a channel and all its subscriptions."""
        self.replace(channel, ())
        channels = self._channels[channel.topic]
        if channel in channels:
            channels.remove(channel)
        if not channels:
            del self._channels[channel.topic]

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

    def interested(self, change: Change) -> list[Subscription]:
        """The live subscriptions that want a change, filters and row security aside."""
        return [each for each in self._live.get(change.relation.oid, ()) if each.action in {"*", change.kind}]

    def others(self, channel: Subscriber) -> Iterator[Subscriber]:
        """The other channels of a channel's topic."""
        return (each for each in list(self._channels.get(channel.topic, ())) if each is not channel)

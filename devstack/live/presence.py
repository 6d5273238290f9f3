"""Who is present in a room, as its members have said; plain bookkeeping.

Source: Phoenix.Presence; the frames are recorded.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from typing import Any

from devstack.live.frames import compact
from devstack.live.registry import Room, Subscriber

Meta = dict[str, Any]


class Presences:
    """What is tracked, by room, key and channel."""

    def __init__(self) -> None:
        self._tracked: defaultdict[Room, dict[tuple[str, Subscriber], Meta]] = defaultdict(dict)

    def state(self, room: Room) -> str:
        """Everybody's metas by key, as JSON."""
        metas: defaultdict[str, list[Meta]] = defaultdict(list)
        for (key, _), meta in self._tracked.get(room, {}).items():
            metas[key].append(meta)
        return compact({key: {"metas": each} for key, each in metas.items()})

    def track(self, channel: Subscriber, key: str, said: Meta) -> str | None:
        """Say something of a channel's owner; the difference as JSON, or None when nothing changed."""
        tracked = self._tracked[channel.room]
        before = tracked.get((key, channel))
        if before is not None and _said(before) == said:
            return None
        meta = {"phx_ref": secrets.token_urlsafe(12), **said}
        if before is not None:
            meta = {"phx_ref": meta["phx_ref"], "phx_ref_prev": before["phx_ref"], **said}
        tracked[key, channel] = meta
        return _diff({key: [meta]}, {key: [before]} if before else {})

    def untrack(self, channel: Subscriber) -> str | None:
        """Forget what a channel has said; the difference as JSON, or None when there was nothing."""
        tracked = self._tracked.get(channel.room, {})
        gone = {key: [meta] for (key, each), meta in tracked.items() if each is channel}
        for key in gone:
            del tracked[key, channel]
        if not tracked:
            self._tracked.pop(channel.room, None)
        return _diff({}, gone) if gone else None


def _said(meta: Meta) -> Meta:
    return {name: value for name, value in meta.items() if name not in {"phx_ref", "phx_ref_prev"}}


def _diff(joins: dict[str, list[Meta]], leaves: dict[str, list[Meta]]) -> str:
    both = {"joins": joins, "leaves": leaves}
    return json.dumps(
        {name: {key: {"metas": metas} for key, metas in each.items()} for name, each in both.items()},
        separators=(",", ":"),
    )

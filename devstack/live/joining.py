"""Decides whether a join is let in, and in which words it is refused.

Asks, in the real server's order: name, rate, number of channels, token, policies, what is to be replayed.
Source: supabase/realtime lib/realtime_web/channels/realtime_channel.ex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from devstack.changes.capture import DATABASE_GONE, Connection
from devstack.live.bindings import Join, read_join
from devstack.live.frames import Broadcast, Push
from devstack.live.identity import Identity, TokenRefusedError, identify
from devstack.live.permissions import Asker, Reading, may_read
from devstack.live.registry import PREFIX
from devstack.live.services import Services
from devstack.live.stored import replayed

REPLAYED_BY_DEFAULT = 10
ALL = Reading(broadcast=True, presence=True)


class JoinRefusedError(Exception):
    """A join that is not let in; `hangs_up` when the socket is closed with it."""

    def __init__(self, reason: str, *, hangs_up: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hangs_up = hangs_up


@dataclass(frozen=True, slots=True)
class Admitted:
    """A join that is let in: who it is, what he may hear, and what he has missed."""

    join: Join
    asker: Asker
    reading: Reading
    missed: tuple[Broadcast, ...]

    @property
    def identity(self) -> Identity:
        """Who joined."""
        return self.asker.identity


async def let_in(services: Services, push: Push, apikey: str, headers: Mapping[str, str], channels: int) -> Admitted:
    """Let a join in; `channels` is how many the connection has already.

    Raises: JoinRefusedError.
    """
    name = push.topic.removeprefix(PREFIX)
    if not name:
        raise JoinRefusedError("TopicNameRequired: You must provide a topic name")
    if services.joins.exceeded:
        raise JoinRefusedError("ClientJoinRateLimitReached: Too many joins per second", hangs_up=True)
    services.joins.add()
    if channels >= services.limits.channels:
        raise JoinRefusedError("ChannelRateLimitReached: Too many channels")
    join = read_join(push.topic, push.payload)
    asker = Asker(name, _identity(services, join, apikey), headers)
    if not join.is_private:
        if join.asks_replay:
            raise JoinRefusedError("UnableToReplayMessages: Replay is not allowed for public channels")
        return Admitted(join, asker, ALL, ())
    try:
        async with services.pool.acquire() as connection:
            reading = await reading_of(connection, asker)
            missed = await _missed(connection, join, name)
    except DATABASE_GONE as error:
        text = "UnableToConnectToProject: Realtime was unable to connect to the project database"
        raise JoinRefusedError(text) from error
    return Admitted(join, asker, reading, missed)


async def reading_of(connection: Connection, asker: Asker) -> Reading:
    """What may be heard on a private channel.

    Raises: JoinRefusedError when it is nothing; DATABASE_GONE.
    """
    reading = await may_read(connection, asker)
    if not (reading.broadcast or reading.presence):
        raise JoinRefusedError(
            f"Unauthorized: You do not have permissions to read from this Channel topic: {asker.topic}"
        )
    return reading


def _identity(services: Services, join: Join, apikey: str) -> Identity:
    token = join.access_token
    if not token or (isinstance(token, str) and token.startswith("sb_")):
        token = apikey
    try:
        return identify(token, services.keys)
    except TokenRefusedError as refused:
        raise JoinRefusedError(refused.at_join) from refused


async def _missed(connection: Connection, join: Join, name: str) -> tuple[Broadcast, ...]:
    if not join.asks_replay or not isinstance(join.replay, dict):
        return ()
    since, limit = join.replay.get("since", 0), join.replay.get("limit", REPLAYED_BY_DEFAULT)
    invalid = JoinRefusedError("UnableToReplayMessages: Replay params are not valid")
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in (since, limit)):
        raise invalid
    try:
        return tuple(await replayed(connection, name, since, limit))
    except OverflowError as error:
        raise invalid from error
    except DATABASE_GONE:
        raise
    except asyncpg.PostgresError as error:
        raise JoinRefusedError("UnableToReplayMessages: Realtime was unable to replay messages") from error

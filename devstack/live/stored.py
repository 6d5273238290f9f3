"""The table realtime.messages: what SQL has sent, what is sent again to those who ask, and the days' partitions.

Knows the table; not who may read it.
Source: supabase/realtime lib/realtime/messages.ex and replication_connection.ex.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, date, datetime, timedelta

import asyncpg

from devstack.changes.capture import DATABASE_GONE, Connection
from devstack.changes.pgoutput import Change
from devstack.live.frames import Broadcast, compact
from devstack.live.registry import PREFIX, Room

log = logging.getLogger(__name__)

SCHEMA = "realtime"
MOST_REPLAYED = 25
KEPT_DAYS = 3
DAYS_AHEAD = 2
PARTITIONS_EACH_S = 3600.0

REPLAY = """
select id::text, event, payload::text from realtime.messages
where topic = $1 and private and extension = 'broadcast' and inserted_at >= $2 and event is not null
order by inserted_at desc
limit $3
"""
PARTITIONS = "select inhrelid::regclass::text from pg_inherits where inhparent = 'realtime.messages'::regclass"


def is_message(change: Change) -> bool:
    """True for a change of the table, whichever day's partition it is in."""
    return change.relation.schema == SCHEMA and change.relation.name.startswith("messages_")


def sent(change: Change) -> tuple[Room, Broadcast] | None:
    """The broadcast that an inserted row is, and who hears it; None for what is no broadcast."""
    row = change.new
    topic, event, payload = row.get("topic"), row.get("event"), row.get("payload")
    if change.kind != "INSERT" or topic is None or event is None or payload is None:
        return None
    meta = compact({"id": row.get("id")})
    return Room(PREFIX + topic, row.get("private") == "t"), Broadcast(event, payload.encode(), is_json=True, meta=meta)


async def replayed(connection: Connection, topic: str, since_ms: int, limit: int) -> list[Broadcast]:
    """The latest private messages of a topic since a time, oldest first.

    Units: since_ms is Unix time in milliseconds.
    Raises: OverflowError when there is no such time.
    """
    since = datetime(1970, 1, 1) + timedelta(milliseconds=since_ms)  # the column has no zone
    rows = await connection.fetch(REPLAY, topic, since, max(1, min(limit, MOST_REPLAYED)))
    return [
        Broadcast(event, payload.encode(), is_json=True, meta=compact({"id": message_id, "replayed": True}))
        for message_id, event, payload in reversed(rows)
        if payload is not None
    ]


async def keep_partitions(connection: Connection, today: date) -> None:
    """Make the partitions of today and the next days; drop those that are too old to be sent again.

    Locks: realtime.messages, shortly.
    """
    names = [f"messages_{today + timedelta(days=ahead):%Y_%m_%d}" for ahead in range(-1, DAYS_AHEAD + 1)]
    for ahead, name in enumerate(names, start=-1):
        day = today + timedelta(days=ahead)
        # The names and bounds are made of dates only.
        await connection.execute(
            f"create table if not exists realtime.{name} partition of realtime.messages"
            f" for values from ('{day}') to ('{day + timedelta(days=1)}')"
        )
    oldest = f"realtime.messages_{today - timedelta(days=KEPT_DAYS):%Y_%m_%d}"
    for (name,) in await connection.fetch(PARTITIONS):
        if name < oldest:
            await connection.execute(f"drop table if exists {name}")


async def watch_partitions(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Keep the partitions until cancelled."""
    while True:
        try:
            async with pool.acquire() as connection:
                await keep_partitions(connection, datetime.now(UTC).date())
        except (asyncpg.PostgresError, *DATABASE_GONE) as error:
            log.warning("the partitions of realtime.messages cannot be kept: %s", error)
        await asyncio.sleep(PARTITIONS_EACH_S)

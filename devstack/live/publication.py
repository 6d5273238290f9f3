"""Looks now and then at what is published; when that has changed, every subscription is made anew.

As with the real server: until then the old subscriptions stay, what is written while they are made anew is lost, and a
channel whose table is gone is told so once and never healed.
"""

from __future__ import annotations

import asyncio
import logging

import asyncpg

from devstack.changes.capture import DATABASE_GONE, PUBLICATION, Connection
from devstack.live.services import Services

log = logging.getLogger(__name__)

TABLES = "select prrelid::bigint from pg_publication_rel r join pg_publication p on p.oid = prpubid where pubname = $1"

Tables = frozenset[int]


async def watch_publication(services: Services, known: Tables) -> None:
    """Look until cancelled for other tables than the `known` ones."""
    while True:
        await asyncio.sleep(services.limits.publication_check_s)
        try:
            async with services.pool.acquire() as connection:
                tables = await published(connection)
        except (asyncpg.PostgresError, *DATABASE_GONE) as error:
            log.warning("the publication cannot be read: %s", error)
            continue
        if tables != known:
            for channel in services.registry.forget_subscriptions():
                channel.resubscribe()
        known = tables


async def published(connection: Connection) -> Tables:
    """The oids of the published tables."""
    return frozenset(oid for (oid,) in await connection.fetch(TABLES, PUBLICATION))

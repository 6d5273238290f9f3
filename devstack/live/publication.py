"""Looks now and then at what is published; when that has changed, every subscription is made anew.

As with the real server: until then the old subscriptions stay, what is written while they are made anew is lost, and a
channel whose table is gone is told so once and never healed.
"""

from __future__ import annotations

import asyncio
import logging

import asyncpg

from devstack.changes.capture import DATABASE_GONE, PUBLICATION
from devstack.live.services import Services

log = logging.getLogger(__name__)

TABLES = "select prrelid::bigint from pg_publication_rel r join pg_publication p on p.oid = prpubid where pubname = $1"

Tables = frozenset[int]


async def watch_publication(services: Services) -> None:
    """Look until cancelled."""
    known: Tables | None = None
    while True:
        try:
            tables = await _published(services)
        except (asyncpg.PostgresError, *DATABASE_GONE) as error:
            log.warning("the publication cannot be read: %s", error)
        else:
            if known is not None and tables != known:
                for channel in services.registry.forget_subscriptions():
                    channel.resubscribe()
            known = tables
        await asyncio.sleep(services.limits.publication_check_s)


async def _published(services: Services) -> Tables:
    async with services.pool.acquire() as connection:
        return frozenset(oid for (oid,) in await connection.fetch(TABLES, PUBLICATION))

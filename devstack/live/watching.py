"""A channel's subscription to the database: made after the join, made anew with each token and each publication.

Knows when and for whom to subscribe; what is then delivered is the dispatcher's matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from devstack.changes.capture import DATABASE_GONE, Connection
from devstack.live.admission import admit
from devstack.live.bindings import Binding, BindingError, Join, read_binding
from devstack.live.identity import Identity
from devstack.live.registry import Subscriber, Subscription
from devstack.live.services import Services

ADMISSION_RETRY_S = 0.5

Tell = Callable[[str, str], None]


class Watching:
    """What one channel watches; `tell` sends a `system` message with its status."""

    def __init__(self, services: Services, channel: Subscriber, join: Join, tell: Tell) -> None:
        self._services = services
        self._channel = channel
        self._join = join
        self._tell = tell

    async def subscribe(self, identity: Identity) -> None:
        """Subscribe to all bindings or to none, and tell how it went."""
        try:
            bindings = [read_binding(params) for params in self._join.bindings]
            if not bindings:
                return
            # Until the end of this delay the old token's subscriptions stay, and a new channel has none.
            await asyncio.sleep(self._services.faults.subscribe_delay_s)
            subscriptions = await self._admitted(bindings, identity)
            # What was committed before is not delivered, and the log is known to be followed.
            await self._services.caught_up()
        except BindingError as error:
            self._services.registry.replace(self._channel, ())
            self._tell(str(error), "error")
            return
        self._services.registry.replace(self._channel, subscriptions)
        self._tell("Subscribed to PostgreSQL", "ok")

    async def _admitted(self, bindings: list[Binding], identity: Identity) -> list[Subscription]:
        while True:
            try:
                async with self._services.pool.acquire() as connection:
                    return [one for each in bindings for one in await self._admit(connection, each, identity)]
            except DATABASE_GONE:
                await asyncio.sleep(ADMISSION_RETRY_S)

    async def _admit(self, connection: Connection, each: Binding, identity: Identity) -> list[Subscription]:
        return [
            Subscription(each.id, self._channel, identity, oid, each.action, each.filters, each.select)
            for oid in await admit(connection, identity.role, each)
        ]

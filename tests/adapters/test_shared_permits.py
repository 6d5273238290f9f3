"""Workers on one database share the requests a minute that a kind may send to providers."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from listener.adapters.rpc import RpcSessionStore
from listener.adapters.supabase_clients import open_clients
from listener.contract import GenerationRequest
from listener.engine.clock import SystemClock
from listener.engine.permits import Permits
from listener.errors import ListenerError, ProviderBusy
from listener.ports import Registration
from listener.telemetry import log
from tests.support.target import Place, target_of


async def test_two_workers_together_send_no_more_than_the_limit_and_the_others_learn_when(
    stack: Place, connection: asyncpg.Connection
) -> None:
    assert await connection.fetchval("select min(requests_per_minute) from listener.kinds") == 300, "the default"
    await connection.execute("update listener.kinds set requests_per_minute = 3")
    project = target_of(stack)
    async with open_clients(project.url, project.service_role_key, 2) as clients:
        permits = []
        for identity in (uuid4(), uuid4()):
            store = RpcSessionStore(clients.calls, identity)
            await store.register(Registration(identity, "test", ("headshot",), 2, "0", 30.0))
            permits.append(Permits(store, SystemClock(), log.get("permits")))

        async def ask(number: int) -> ListenerError | None:
            request = GenerationRequest("headshot", uuid4(), "p", (1,), time_left_s=5.0)
            try:
                await permits[number % 2](request)
            except ListenerError as error:
                return error
            return None

        ended = await asyncio.gather(*(ask(number) for number in range(8)))
    refused = [error for error in ended if error is not None]
    assert len(refused) == 5
    for error in refused:
        assert isinstance(error, ProviderBusy)
        assert error.retry_after_s == pytest.approx(60, abs=5)

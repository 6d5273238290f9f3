"""Puts the services together: database, REST, Auth, Storage, Realtime behind one port.

The only place that sees them all; knows nothing of their wire.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from devstack.access import key_check
from devstack.admin import fault_routes
from devstack.auth.server import AuthServer
from devstack.faults import Faults
from devstack.gateway import page_routes, serve
from devstack.harm import harm
from devstack.live.server import RealtimeServer
from devstack.objects.server import ObjectServer
from devstack.postgres.caller import Database
from devstack.postgres.cluster import start_cluster
from devstack.postgres.password import login_dsn
from devstack.postgres.prepare import prepare_database
from devstack.rest.server import RestServer
from devstack.tokens import ProjectKeys
from devstack.webhooks.sender import Sender


@dataclass(frozen=True, slots=True)
class Stack:
    """A running Supabase of our own.

    `database_url` is for `postgres`, as a project's owner has it; `admin_url` is the superuser's, whom only the
    services know on a real project. `admin_key` opens the door to the faults for other processes.
    """

    url: str
    keys: ProjectKeys = field(repr=False)
    database_url: str = field(repr=False)
    admin_url: str = field(repr=False)
    faults: Faults
    admin_key: str = field(repr=False)


@asynccontextmanager
async def open_stack(
    database_url: str | None = None,
    *,
    port: int = 0,
    keys: ProjectKeys | None = None,
    migrate: bool = True,
    page: bool = False,
    page_facts: Mapping[str, object] | None = None,
    objects: Path | None = None,
) -> AsyncIterator[Stack]:
    """Run the stack until the block ends; port 0 is any free one.

    `database_url` is the superuser's. Without it the stack has a cluster of its own, which is gone afterwards, also
    when this process is killed.
    `page_facts` is what the page's configuration says beside URL and key.
    `objects` is the folder for uploaded bytes; by default it goes with the cluster, or with the block.
    Raises: PostgresUnavailableError, MigrationError, PageIncompleteError, OSError when the port is taken.
    """
    async with AsyncExitStack() as resources:
        faults = Faults()
        if database_url is None:
            cluster = await asyncio.to_thread(start_cluster)
            resources.push_async_callback(asyncio.to_thread, cluster.stop)
            database_url, objects = cluster.dsn(), objects or cluster.objects
            faults.restart = partial(asyncio.to_thread, cluster.restart)
        if objects is None:
            objects = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="listener-objects-")))
        await prepare_database(database_url, migrate=migrate)
        keys = keys or ProjectKeys.generate()
        database = await Database.open(database_url)
        resources.push_async_callback(database.close)
        realtime = RealtimeServer(database_url, keys, faults)
        rest = RestServer(database, database_url, keys, realtime.kick)
        auth = AuthServer(database_url, keys, faults, realtime.kick)
        storage = ObjectServer(database, keys, objects, realtime.kick)
        for service in (realtime, rest, auth):
            await service.start()
            resources.push_async_callback(service.close)
        routes = [route for service in (rest, auth, storage, realtime) for route in service.routes()]
        admin_key = secrets.token_urlsafe(32)
        routes += fault_routes(faults, admin_key)
        routes += page_routes(keys, page_facts or {}) if page else []
        url = await resources.enter_async_context(serve(routes, port, [key_check(keys), harm(faults, keys)]))
        await resources.enter_async_context(Sender(database_url).running())
        # The sockets are closed before the server waits for its requests to end.
        resources.push_async_callback(realtime.close)
        yield Stack(url, keys, login_dsn(database_url, "postgres"), database_url, faults, admin_key)

"""What stores and partners meet of this worker: the HTTP API, and the webhooks that tell them what finished.

Sees the adapters behind both; does not know what generates.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from aiohttp import web

from listener.adapters.desk import SupabaseDesk
from listener.adapters.key_ring import SupabaseKeyRing
from listener.adapters.outbox import SupabaseOutbox
from listener.adapters.supabase_clients import Clients, open_clients
from listener.adapters.user_desk import SupabaseUserDesk
from listener.adapters.user_tokens import SigningKeys, UserTokens
from listener.avatars import build_avatars
from listener.contract import Handler
from listener.elsewhere import artifacts_of
from listener.engine.deliveries import TIMEOUT_S, Deliverer
from listener.http.callers import Callers
from listener.http.characters import Faces
from listener.http.customers import Customers
from listener.http.packs import BUCKET, PacksApi
from listener.http.reference import Reference
from listener.http.scratch import Scratch, open_scratch
from listener.http.session_forms import submit_operations
from listener.http.session_list import SessionList
from listener.http.sessions import SessionsApi
from listener.http.shown import Showing
from listener.http.users import Users
from listener.ports import Clock, Fetcher, Poster
from listener.settings import Settings
from listener.telemetry import log
from listener.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from listener.adapters.s3 import S3ArtifactStore

CONNECTIONS = 16
PACK = "pack"
"""The kind whose handler says what a character may be."""
END_S = TIMEOUT_S + 2.0
"""How long deliveries under way may take at the end; then they are given back."""


class Partners:
    """The API's routes and the deliverer of one worker."""

    def __init__(
        self,
        settings: Settings,
        clients: Clients,
        handlers: Mapping[str, Handler[Any]],
        scratch: Scratch,
        clock: Clock,
        *,
        elsewhere: S3ArtifactStore | None = None,
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._handlers = handlers
        self._scratch = scratch
        self._clock = clock
        self._params = {kind: handler.Params for kind, handler in handlers.items()}
        self._desk = SupabaseDesk(clients, clock)
        self._artifacts = artifacts_of(clients, elsewhere)
        self._elsewhere = elsewhere
        self._deliverer: Deliverer | None = None

    def callers(self) -> Callers:
        """Who may call: the stores, by their keys."""
        return Callers(SupabaseKeyRing(self._clients.calls))

    def routes(self, fetcher: Fetcher) -> list[web.AbstractRouteDef]:
        """The routes to add to the application."""
        artifacts = self._artifacts
        showing = Showing(artifacts, self._clock, self._settings.signed_url_s)
        params, desk = self._params, self._desk
        user_desk, users = self._user_desk(), self._users()
        callers, clock = self.callers(), self._clock
        sessions = SessionsApi(callers, desk, showing, params)
        customers = Customers(callers, users, desk, user_desk)
        faces, valid_s = Faces(fetcher, user_desk), self._settings.signed_url_s
        away = self._elsewhere if self._elsewhere is not None and BUCKET in self._elsewhere.place.buckets else None
        packs = PacksApi(users, user_desk, faces, params.get(PACK), clock, signed_url_s=valid_s, elsewhere=away)
        avatars = build_avatars(
            self._settings,
            self._handlers,
            customers=customers,
            desk=desk,
            artifacts=artifacts,
            scratch=self._scratch,
            clock=clock,
        )
        return [*sessions.routes(), *SessionList(customers, desk).routes(), *packs.routes(), *avatars.routes()]

    def documented(self, routes: list[web.AbstractRouteDef]) -> list[web.AbstractRouteDef]:
        """All routes of the worker, and those that describe them. Raises: ValueError when one was not described."""
        return [*routes, *Reference(routes, partial(submit_operations, self._desk, self._params)).routes()]

    def deliver(self, group: asyncio.TaskGroup, worker: UUID, poster: Poster, metrics: Metrics) -> asyncio.Task[None]:
        """Start to tell partners."""
        outbox = SupabaseOutbox(self._clients.calls, worker)
        self._deliverer = Deliverer(
            outbox,
            poster,
            self._clock,
            interval_s=self._settings.sweep_s,
            count=metrics.delivery_ended,
            log=log.get("deliveries"),
        )
        return group.create_task(self._deliverer.run(), name="deliveries")

    def _users(self) -> Users:
        secret = self._settings.supabase_jwt_secret
        keys = SigningKeys(self._settings.supabase_url, self._clients.calls.postgrest.session, self._clock)
        return Users(UserTokens(keys, secret.get_secret_value() if secret else None))

    def _user_desk(self) -> SupabaseUserDesk:
        key = self._settings.supabase_service_role_key.get_secret_value()
        return SupabaseUserDesk(self._settings.supabase_url, key, self._clients)

    def wake(self) -> None:
        """Look for something to tell."""
        if self._deliverer is not None:
            self._deliverer.wake()

    async def end(self, delivering: asyncio.Task[None]) -> None:
        """Tell what is under way and no more; what takes too long is given back."""
        if self._deliverer is not None:
            self._deliverer.stop()
        await asyncio.wait({delivering}, timeout=END_S)
        delivering.cancel()


@asynccontextmanager
async def open_partners(
    settings: Settings, handlers: Mapping[str, Handler[Any]], clock: Clock, elsewhere: S3ArtifactStore | None = None
) -> AsyncIterator[Partners]:
    """With connections of its own: however many callers there are, no heartbeat waits behind them."""
    key = settings.supabase_service_role_key.get_secret_value()
    with open_scratch() as scratch:
        async with open_clients(settings.supabase_url, key, max(CONNECTIONS, settings.uploads_at_once)) as clients:
            yield Partners(settings, clients, handlers, scratch, clock, elsewhere=elsewhere)

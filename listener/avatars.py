"""Builds the avatars' HTTP API of a worker. Sees the settings behind it; does not know what generates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from listener.api import SessionDesk
from listener.contract import Handler, Inspector
from listener.http.avatar_clips import Clips
from listener.http.avatar_orders import AvatarOrders
from listener.http.avatars import KIND, AvatarsApi, Reception
from listener.http.customers import Customers
from listener.http.scratch import Scratch
from listener.http.upload_places import UploadPlaces
from listener.ports import ArtifactStore, Clock
from listener.settings import Settings

HOUR_S = 3600


def build_avatars(
    settings: Settings,
    handlers: Mapping[str, Handler[Any]],
    *,
    customers: Customers,
    desk: SessionDesk,
    artifacts: ArtifactStore,
    scratch: Scratch,
    clock: Clock,
) -> AvatarsApi:
    """Files are decoded before they are paid for where this worker serves the kind; elsewhere the session finds out."""
    handler = handlers.get(KIND)
    inspector = handler if isinstance(handler, Inspector) else None
    orders = AvatarOrders(inspector, handler.Params if handler is not None else None)
    keep_s = settings.video_retention_hours * HOUR_S
    return AvatarsApi(
        customers,
        desk,
        Reception(UploadPlaces(settings.uploads_at_once), scratch, orders),
        Clips(artifacts, clock, valid_s=settings.signed_url_s, keep_s=keep_s),
        clock,
    )

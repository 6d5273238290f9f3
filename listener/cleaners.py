"""How cleaning is wired: by the daemon in the background, by `listener clean` at once, by a store that is full."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from listener.adapters.supabase_clients import Clients
from listener.elsewhere import leftovers_of
from listener.engine.cleaning import Cleaning, Tell, telling
from listener.engine.room import MakeRoom
from listener.settings import Settings
from listener.telemetry import log

if TYPE_CHECKING:
    from listener.adapters.s3 import S3ArtifactStore

VIDEOS = "videos"


def cleaner(
    clients: Clients,
    holder: UUID,
    tell: Tell,
    *,
    removes: bool,
    video_hours: float | None = None,
    elsewhere: S3ArtifactStore | None = None,
) -> Cleaning:
    """What cleans a project, and its store on S3; with `video_hours` it keeps clips for so long from then on."""
    leftovers, objects = leftovers_of(clients, holder, elsewhere)
    retention = {} if video_hours is None else {VIDEOS: video_hours}
    return Cleaning(leftovers, objects, tell, removes=removes, retention=retention)


async def clean_along(
    settings: Settings, clients: Clients, worker: UUID, elsewhere: S3ArtifactStore | None = None
) -> None:
    """Clean beside a worker's work as its settings say; returns at once where they switch it off."""
    if settings.cleaning == "off":
        return
    removes, words = settings.cleaning == "on", log.get("cleaning")
    tell, video_hours = telling(words, removes=removes), settings.video_retention_hours
    cleaning = cleaner(clients, worker, tell, removes=removes, video_hours=video_hours, elsewhere=elsewhere)
    await cleaning.run(words)


def room_maker(
    settings: Settings, clients: Clients, worker: UUID, elsewhere: S3ArtifactStore | None
) -> MakeRoom | None:
    """How room is made in a store that is full; None where the settings do not let a worker remove anything."""
    if settings.cleaning != "on":
        return None
    tell, video_hours = telling(log.get("cleaning"), removes=True), settings.video_retention_hours
    return cleaner(clients, worker, tell, removes=True, video_hours=video_hours, elsewhere=elsewhere).make_room

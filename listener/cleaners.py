"""How cleaning is wired: by the daemon in the background, by `listener clean` at once."""

from __future__ import annotations

from uuid import UUID

from listener.adapters.leftovers import SupabaseLeftovers
from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.supabase_clients import Clients
from listener.engine.cleaning import Cleaning, Tell, telling
from listener.settings import Settings
from listener.telemetry import log

VIDEOS = "videos"


def cleaner(clients: Clients, holder: UUID, tell: Tell, *, removes: bool, video_hours: float | None = None) -> Cleaning:
    """What cleans a project; with `video_hours` it keeps clips for so long from then on."""
    leftovers, objects = SupabaseLeftovers(clients.calls, holder), SupabaseArtifactStore(clients)
    retention = {} if video_hours is None else {VIDEOS: video_hours}
    return Cleaning(leftovers, objects, tell, removes=removes, retention=retention)


async def clean_along(settings: Settings, clients: Clients, worker: UUID) -> None:
    """Clean beside a worker's work as its settings say; returns at once where they switch it off."""
    if settings.cleaning == "off":
        return
    removes, words = settings.cleaning == "on", log.get("cleaning")
    tell, video_hours = telling(words, removes=removes), settings.video_retention_hours
    await cleaner(clients, worker, tell, removes=removes, video_hours=video_hours).run(words)

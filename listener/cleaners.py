"""How cleaning is wired: by the daemon in the background, by `listener clean` at once."""

from __future__ import annotations

from uuid import UUID

from listener.adapters.leftovers import SupabaseLeftovers
from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.supabase_clients import Clients
from listener.engine.cleaning import Cleaning, Tell, telling
from listener.settings import Settings
from listener.telemetry import log


def cleaner(clients: Clients, holder: UUID, tell: Tell, *, removes: bool) -> Cleaning:
    """What cleans a project."""
    leftovers, objects = SupabaseLeftovers(clients.calls, holder), SupabaseArtifactStore(clients)
    return Cleaning(leftovers, objects, tell, removes=removes)


async def clean_along(settings: Settings, clients: Clients, worker: UUID) -> None:
    """Clean beside a worker's work as its settings say; returns at once where they switch it off."""
    if settings.cleaning == "off":
        return
    removes, words = settings.cleaning == "on", log.get("cleaning")
    await cleaner(clients, worker, telling(words, removes=removes), removes=removes).run(words)

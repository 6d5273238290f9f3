"""Results in a store of their own, where settings ask for one: how it is opened, and how two stores become one.

The only module that imports the S3 client, and only then: it comes with an extra.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from listener.adapters.leftovers import SupabaseLeftovers
from listener.adapters.leftovers_elsewhere import WiderLeftovers
from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.supabase_clients import Clients
from listener.engine.buckets import RoutedArtifacts, RoutedRemover
from listener.errors import ConfigError
from listener.leftovers import ObjectRemover
from listener.ports import ArtifactStore
from listener.settings import Settings

if TYPE_CHECKING:
    from listener.adapters.s3 import S3ArtifactStore

OwnStore: TypeAlias = "S3ArtifactStore | None"
"""A store of results beside Supabase Storage, where there is one."""
Elsewhere = AbstractAsyncContextManager[OwnStore]


def elsewhere_of(settings: Settings, slots: int) -> Elsewhere:
    """The store of the settings, to be opened once, for so many slots; None comes of it where they name none.

    Raises: ConfigError when its client is not installed.
    """
    place = settings.s3_place()
    if place is None:
        return nullcontext(None)
    try:
        from listener.adapters.s3 import open_s3  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(f"results on S3 need the extra `s3`: pip install 'listener[s3]' ({error})") from error
    return open_s3(place, slots, settings.supabase_url)


def artifacts_of(clients: Clients, elsewhere: S3ArtifactStore | None) -> ArtifactStore:
    """Both stores as one, each bucket in its own."""
    usual = SupabaseArtifactStore(clients)
    return usual if elsewhere is None else RoutedArtifacts(usual, elsewhere, elsewhere.place.buckets)


def leftovers_of(
    clients: Clients, holder: UUID, elsewhere: S3ArtifactStore | None
) -> tuple[SupabaseLeftovers, ObjectRemover]:
    """What may go from both stores, and how it goes."""
    usual = SupabaseArtifactStore(clients)
    if elsewhere is None:
        return SupabaseLeftovers(clients.calls, holder), usual
    buckets = elsewhere.place.buckets
    return WiderLeftovers(clients.calls, holder, elsewhere, buckets), RoutedRemover(usual, elsewhere, buckets)

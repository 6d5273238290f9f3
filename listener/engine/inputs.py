"""Input files by the source that a user named: a URL, or a path among his own uploads.

Knows whose uploads lie where; does not know how anything is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from listener.contract import Fetched, InputKind
from listener.engine.own_objects import require_own_object
from listener.errors import InputUnavailable, InputUnreachable, Unusable
from listener.ports import Accepted, ArtifactStore, Fetcher

UPLOADS = "uploads"
SIZE_MAX_BYTES = 10 * 2**20
PICTURES = Accepted(SIZE_MAX_BYTES, frozenset({"image/png", "image/jpeg", "image/webp"}))
AUDIO_MAX_BYTES = 50 * 2**20
AUDIO_WITHIN_S = 120.0
"""As fast a line as for a picture, and five times the size."""
AUDIO = Accepted(
    AUDIO_MAX_BYTES,
    # What servers call a WAV or an MP3. Storages that do not know an ending say octet-stream; the decoder looks itself.
    frozenset({"audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave", "audio/mpeg", "audio/mp3"})
    | {"application/octet-stream"},
    AUDIO_WITHIN_S,
)
ACCEPTED: Mapping[InputKind, Accepted] = {"picture": PICTURES, "audio": AUDIO}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Inputs:
    """Fetches what users name. The folder of an owner bears his id, or that of the store."""

    def __init__(self, fetcher: Fetcher, artifacts: ArtifactStore) -> None:
        self._fetcher = fetcher
        self._artifacts = artifacts

    async def fetch(self, source: str, owner: UUID, field: str = "", kind: InputKind = "picture") -> Fetched:
        """Get one file.

        Raises: InputUnavailable, InputUnreachable, which name the field; StoreUnavailable, StoreRejected.
        """
        with _naming(field):
            if _URL.match(source):
                return await self._fetcher.fetch(source, ACCEPTED[kind])
            return await self._get(UPLOADS, source, owner, ACCEPTED[kind])

    async def recall(self, bucket: str, path: str, owner: UUID, field: str = "") -> Fetched:
        """Get a picture that was saved for the owner. Raises: as `fetch`."""
        with _naming(field):
            return await self._get(bucket, path, owner, PICTURES)

    async def _get(self, bucket: str, named: str, owner: UUID, accepted: Accepted) -> Fetched:
        try:
            path = require_own_object(named, owner)
        except Unusable as error:
            raise InputUnavailable(str(error), details={"problem": error.problem, "remedy": error.remedy}) from None
        return await self._artifacts.get(bucket, path, accepted)


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Say at which field an input is at fault."""
    try:
        yield
    except (InputUnavailable, InputUnreachable) as error:
        error.details = ({"field": field} if field else {}) | error.details
        raise

"""The ArtifactStore over Supabase Storage. Knows uploads and signed URLs; does not know what the files are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from listener.adapters.downloads import downloaded
from listener.adapters.failures import last_status, translated
from listener.adapters.supabase_clients import Clients
from listener.contract import Fetched
from listener.errors import StoreError
from listener.ports import Accepted
from listener.telemetry import log


class SupabaseArtifactStore:
    """Objects in a project's buckets. Raises: StoreUnavailable (call again), StoreRejected (do not)."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._log = log.get("storage")
        self.last_error: str | None = None

    async def put(self, bucket: str, path: str, data: bytes, content_type: str) -> None:
        """Write one object; the same path again replaces it."""
        # The library sends the option as a header: upsert has to be the string, and a missing type means text/plain.
        options = {"content-type": content_type, "upsert": "true", "headers": {"Connection": "close"}}
        with self._watched(f"upload to {bucket}", bucket):
            await self._clients.uploads.storage.from_(bucket).upload(path, data, options)  # type: ignore[arg-type]

    async def sign(self, bucket: str, path: str, valid_s: int) -> str:
        """Make an absolute URL that reads the object for `valid_s` seconds."""
        with self._watched(f"signed URL in {bucket}", bucket):
            answer = await self._clients.calls.storage.from_(bucket).create_signed_url(path, valid_s)
            return str(answer["signedURL"])

    async def get(self, bucket: str, path: str, accepted: Accepted) -> Fetched:
        """Read one object, and no more of it than is accepted: the library's own download has no limit.

        Raises: InputUnavailable too, for one that is not there or not accepted.
        """
        with self._watched(f"download from {bucket}", bucket):
            return await downloaded(self._clients, bucket, path, accepted)

    async def remove(self, bucket: str, paths: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""
        if paths:
            with self._watched(f"removal from {bucket}", bucket):
                await self._clients.calls.storage.from_(bucket).remove(list(paths))

    async def ping(self) -> None:
        """Ask for the buckets: cheap, and it needs the gateway, the server and its database."""
        with translated("list buckets"):
            await self._clients.calls.storage.list_buckets()

    @contextmanager
    def _watched(self, call: str, bucket: str) -> Iterator[None]:
        """Translate failures, and tell each with what an operator needs to find its cause."""
        try:
            with translated(call):
                yield
        except StoreError as error:
            self.last_error = str(error)
            self._log.warning(
                "storage_failed",
                call=call,
                endpoint=self._clients.endpoint,
                bucket=bucket,
                key_kind=self._clients.key_kind,
                status=last_status.get() or None,
                error=str(error),
                exc_info=error,
            )
            raise
        self.last_error = None

"""What an app does, for the command line: sign in, insert a session row, follow it, read the picture.

Knows only what any frontend may know: the project's URL, the public key, row level security. Holds no secret key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import httpx
from postgrest.exceptions import APIError
from realtime import RealtimePostgresChangesListenEvent
from storage3.exceptions import StorageApiError
from supabase import AsyncClient, AsyncClientOptions, acreate_client
from supabase_auth.errors import AuthError, AuthRetryableError

HEADSHOTS = "headshot_sessions"
TRYONS = "generation_sessions"
UPLOADS = "uploads"
TERMINAL = frozenset({"completed", "failed", "cancelled"})
POLL_S = 2.0
SUBSCRIBE_LIMIT_S = 10.0
LARGEST_IMAGE_BYTES = 64 * 2**20
CREDITS_INSUFFICIENT = "PT402"
RATE_LIMITED = "PT429"
TIMEOUT = httpx.Timeout(15.0, connect=5.0)

Row = dict[str, Any]
OnRow = Callable[[Row], None]


class AppError(Exception):
    """An app's request was not served; the text is for its user, `exit_code` for a shell."""

    exit_code = 1


class NoCreditsError(AppError):
    """The insert was refused because the owner cannot pay."""

    exit_code = 77


class RateLimitedError(AppError):
    """The insert was refused because the owner's plan allows no more for now."""

    exit_code = 75


class UnreachableError(AppError):
    """The project does not answer."""

    exit_code = 69


class TooLongError(AppError):
    """The session was not finished in time; it goes on without us."""

    exit_code = 75


@dataclass(frozen=True, slots=True)
class AppAccess:
    """What a frontend is configured with."""

    url: str
    anon_key: str = field(repr=False)


class App:
    """A signed-in anonymous user of the app, and the table of his sessions."""

    def __init__(self, client: AsyncClient, http: httpx.AsyncClient, user_id: str, table: str) -> None:
        self._client = client
        self._http = http
        self._user_id = user_id
        self._table = table

    async def upload(self, data: bytes, content_type: str, suffix: str) -> str:
        """Put a file into the user's own folder of the bucket `uploads`; returns its path. Raises: AppError."""
        path = f"{self._user_id}/{uuid4()}{suffix}"
        await self._client.storage.from_(UPLOADS).upload(path, data, {"content-type": content_type})
        return path

    async def insert(self, fields: Mapping[str, Any]) -> Row:
        """Insert one session row and return it as the database stored it.

        Raises: NoCreditsError, AppError.
        """
        answer = await self._client.table(self._table).insert({"id": str(uuid4()), **fields}).execute()
        return cast("Row", answer.data[0])

    async def follow(self, row_id: str, on_row: OnRow, within_s: float) -> Row:
        """Call `on_row` for each newer version of the row until it is terminal; Realtime wakes, polling is the net.

        Raises: TooLongError, AppError.
        """
        changed = asyncio.Event()
        try:
            async with asyncio.timeout(within_s):
                await self._subscribe(row_id, changed)
                return await self._until_terminal(row_id, on_row, changed)
        except TimeoutError:
            raise TooLongError(
                f"The session was not finished within {within_s:.0f} s. It stays in the queue."
            ) from None

    async def read(self, artifact: Mapping[str, Any]) -> bytes:
        """Download an artifact by its signed URL, or by a fresh one when that is not accepted any more."""
        answer = await self._http.get(artifact["url"])
        if answer.is_client_error:
            bucket = self._client.storage.from_(artifact["bucket"])
            signed = await bucket.create_signed_url(artifact["path"], 300)
            answer = await self._http.get(str(signed["signedUrl"]))
        if answer.is_error:
            raise AppError(f"The picture could not be read (HTTP {answer.status_code}).")
        if len(answer.content) > LARGEST_IMAGE_BYTES:
            raise AppError("The picture is larger than this command accepts.")
        return answer.content

    async def _until_terminal(self, row_id: str, on_row: OnRow, changed: asyncio.Event) -> Row:
        version = -1
        while True:
            changed.clear()  # before the read, else a change during it would be missed
            found = await self._client.table(self._table).select("*").eq("id", row_id).limit(1).execute()
            if not found.data:
                raise AppError("The row is gone: it was deleted.")
            row = cast("Row", found.data[0])
            if row["version"] > version:
                version = row["version"]
                on_row(row)
            if row["status"] in TERMINAL:
                return row
            try:
                async with asyncio.timeout(POLL_S):
                    await changed.wait()
            except TimeoutError:
                continue

    async def _subscribe(self, row_id: str, changed: asyncio.Event) -> None:
        # An event only says "look": the row is always read, so a lost or a repeated one does no harm.
        channel = self._client.channel(f"session-{row_id}")
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.Update,
            lambda _: changed.set(),
            table=self._table,
            schema="public",
            filter=f"id=eq.{row_id}",
        )
        channel.on_system(lambda _: changed.set())
        try:
            async with asyncio.timeout(SUBSCRIBE_LIMIT_S):
                await channel.subscribe()
        except Exception:  # noqa: BLE001 - the library raises what it likes; without Realtime the row is polled
            logging.getLogger(__name__).info("Realtime is not available; polling")


@asynccontextmanager
async def open_app(access: AppAccess, table: str = HEADSHOTS) -> AsyncIterator[App]:
    """Sign in as a new anonymous user; everything is closed at the end.

    Raises: AppError with words for the user, from the body too.
    """
    logging.getLogger("realtime").addHandler(logging.NullHandler())  # its complaints are ours to word
    wait = _Wait()
    hooks: Mapping[str, list[Callable[..., Any]]] = {"response": [wait.hear]}
    async with httpx.AsyncClient(http2=False, timeout=TIMEOUT, follow_redirects=False, event_hooks=hooks) as http:
        with _worded(access, wait):
            options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
            client = await acreate_client(access.url, access.anon_key, options)
            try:
                signed_in = await client.auth.sign_in_anonymously()
                if signed_in.session is None:
                    raise AppError("The project does not allow anonymous sign-in.")
                # The client does this in the background too, which may be after the first join.
                await client.realtime.set_auth(signed_in.session.access_token)
                yield App(client, http, signed_in.session.user.id, table)
            finally:
                await client.remove_all_channels()


class _Wait:
    """How long the last answer asks to wait: the client's errors do not carry headers."""

    def __init__(self) -> None:
        self.words = "later"

    async def hear(self, answer: httpx.Response) -> None:
        seconds = answer.headers.get("Retry-After", "")
        self.words = f"in {seconds} s" if seconds.isdecimal() else "later"


@contextmanager
def _worded(access: AppAccess, wait: _Wait) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        if error.code == CREDITS_INSUFFICIENT:
            raise NoCreditsError("There are no credits left for this. A picture costs one credit.") from error
        if error.code == RATE_LIMITED:
            raise RateLimitedError(f"Your plan allows no more sessions for now. Try again {wait.words}.") from error
        raise AppError(f"The database refused: {error.message or error.code}") from error
    except (httpx.TransportError, AuthRetryableError) as error:
        raise UnreachableError(f"{access.url} does not answer ({type(error).__name__}).") from error
    except (AuthError, StorageApiError) as error:
        raise AppError(f"The project refused: {error.message}") from error

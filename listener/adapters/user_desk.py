"""The app's tables and buckets as a signed-in user: his token goes along, so that row level security decides.

Knows how a request is made in somebody's name; does not know what the rows mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from httpx import AsyncClient
from postgrest import AsyncPostgrestClient
from postgrest.exceptions import APIError
from pydantic import TypeAdapter
from storage3 import AsyncStorageClient

from listener.adapters.failures import translated
from listener.adapters.slices import sliced
from listener.adapters.supabase_clients import Clients
from listener.adapters.tries import tries
from listener.adapters.uploads import put_new, remove
from listener.api import OwnedTable, Slice, User

Row = dict[str, Any]
ROWS = TypeAdapter(list[Row])
ROW = TypeAdapter(Row)
CLOSED = frozenset({"42501", "PGRST106"})
"""Users have no right to read the table, or its schema is none of the API's."""


class SupabaseUserDesk:
    """The UserDesk of a project.

    Our secret key only opens the gateway; each client is made for one request, so none can carry another's token.
    """

    def __init__(self, url: str, key: str, clients: Clients) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._calls = clients.calls.postgrest.session
        self._uploads = clients.uploads.postgrest.session

    async def insert(self, user: User, table: str, row: Mapping[str, Any], request_id: str) -> Row | None:
        """Insert what is not there yet, by its id; a repeated call inserts and charges nothing again."""
        async for attempt in tries():
            with attempt, translated(f"insert into {table}"):
                builder = (
                    self._rest(user)
                    .from_(table)
                    .upsert([dict(row)], ignore_duplicates=True, on_conflict="id", default_to_null=False)
                )
                builder.request.headers["X-Request-Id"] = request_id
                rows = ROWS.validate_python((await builder.execute()).data)
                return rows[0] if rows else None
        raise AssertionError  # the last try raises

    async def read(self, user: User, table: str, column: str, value: str) -> list[Row]:
        """Those of his rows whose column has the value."""
        async for attempt in tries():
            with attempt, translated(f"read {table}"):
                builder = self._rest(user).from_(table).select("*").eq(column, value)
                return ROWS.validate_python((await builder.execute()).data)
        raise AssertionError  # the last try raises

    async def newest(self, user: User, table: OwnedTable, wanted: Slice) -> list[Row]:
        """His newest rows of a table that has `created_at`; none of one that he may not read."""
        async for attempt in tries():
            with attempt, translated(f"list {table.table}"):
                # By his id too: an app's own policies may show him rows of others.
                builder = sliced(self._rest(user).schema(table.schema).from_(table.table), table, user.id, wanted)
                try:
                    return ROWS.validate_python((await builder.execute()).data)
                except APIError as error:
                    if error.code in CLOSED:
                        return []
                    raise
        raise AssertionError  # the last try raises

    async def queue(self, user: User, row: UUID) -> Row:
        """Where his session stands."""
        return await self._call(user, "queue_status", row)

    async def cancel(self, user: User, row: UUID) -> Row:
        """Cancel his session, or ask its worker to."""
        return await self._call(user, "cancel_session", row)

    async def upload(self, user: User, path: str, data: bytes | Path, content_type: str) -> None:
        """Put an object into his folder of the bucket `uploads`; one that is there stays as it is."""
        await put_new(self._storage(user, self._uploads), path, data, content_type)

    async def discard(self, user: User, paths: Sequence[str]) -> None:
        """Remove objects from it."""
        await remove(self._storage(user, self._calls), paths)

    async def sign(self, user: User, bucket: str, paths: Sequence[str], valid_s: int) -> dict[str, str | None]:
        """URLs that read objects for `valid_s` seconds; None for one that is gone."""
        if not paths:
            return {}
        storage = self._storage(user, self._calls)
        async for attempt in tries():
            with attempt, translated(f"signed URLs in {bucket}"):
                signed = await storage.from_(bucket).create_signed_urls(list(paths), valid_s)
                return {one["path"]: one["signedURL"] for one in signed}
        raise AssertionError  # the last try raises

    async def _call(self, user: User, function: str, row: UUID) -> Row:
        async for attempt in tries():
            with attempt, translated(function):
                answer = await self._rest(user).rpc(function, {"p_row_id": str(row)}).execute()
                return ROW.validate_python(answer.data)
        raise AssertionError  # the last try raises

    def _rest(self, user: User) -> AsyncPostgrestClient:
        url, headers = f"{self._url}/rest/v1", self._headers(user)
        return AsyncPostgrestClient(url, headers=headers, http_client=self._calls, retry_enabled=False)

    def _storage(self, user: User, http: AsyncClient) -> AsyncStorageClient:
        return AsyncStorageClient(f"{self._url}/storage/v1/", self._headers(user), http_client=http)

    def _headers(self, user: User) -> dict[str, str]:
        return {"apikey": self._key, "Authorization": f"Bearer {user.token}"}

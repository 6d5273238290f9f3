"""storage.objects and storage.buckets as the caller may see and change them; knows nothing of HTTP or files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from devstack.objects.bodies import Upload
from devstack.objects.errors import exists_already, no_bucket, no_object
from devstack.postgres.caller import SERVICE, Caller, Database

LIST_SQL = Path(__file__).with_name("list.sql").read_text(encoding="utf-8")
SORTABLE = ("name", "updated_at", "created_at", "last_accessed_at")
ALLOW_DELETE = {"storage.allow_delete_query": "true"}
INSERT = """
insert into storage.objects (id, bucket_id, name, owner, owner_id, metadata, user_metadata, version)
values ($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb, $8)
"""
OVERWRITE = """
on conflict (bucket_id, name) do update set
  metadata = excluded.metadata, user_metadata = excluded.user_metadata, version = excluded.version,
  owner = excluded.owner, owner_id = excluded.owner_id, updated_at = now()
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Which entries of a folder, in which order.

    Raises: ValueError for words that are not known.
    """

    prefix: str
    search: str = ""
    limit: int = 100
    offset: int = 0
    column: str = "name"
    direction: str = "asc"

    def __post_init__(self) -> None:
        if self.column not in SORTABLE or self.direction not in ("asc", "desc"):
            raise ValueError(self.column)


class Rows:
    """The database side of Storage; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def bucket(self, name: str, caller: Caller = SERVICE) -> asyncpg.Record:
        """A bucket. Raises: StorageError."""
        async with self._database.acting_as(caller, read_only=True) as connection:
            row = await connection.fetchrow("select * from storage.buckets where id = $1", name)
        if row is None:
            raise no_bucket()
        return row

    async def buckets(self, caller: Caller) -> list[asyncpg.Record]:
        """Every bucket that the caller sees."""
        async with self._database.acting_as(caller, read_only=True) as connection:
            return await connection.fetch("select * from storage.buckets order by created_at, name")

    async def create_bucket(
        self, caller: Caller, name: str, *, public: bool, limit_bytes: int | None, types: list[str] | None
    ) -> None:
        """Make a bucket. Raises: StorageError, asyncpg.PostgresError."""
        sql = """
        insert into storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
        values ($1, $1, $2, $3, $4, $5, $6)
        """
        try:
            async with self._database.acting_as(caller) as connection:
                await connection.execute(sql, name, _uuid(caller.id), caller.id, public, limit_bytes, types)
        except asyncpg.UniqueViolationError:
            raise exists_already("BucketAlreadyExists") from None

    async def update_bucket(self, caller: Caller, name: str, changes: dict[str, Any]) -> None:
        """Change public, file_size_limit or allowed_mime_types. Raises: StorageError."""
        sql = """
        update storage.buckets set
          public = case when $2 then $3 else public end,
          file_size_limit = case when $4 then $5 else file_size_limit end,
          allowed_mime_types = case when $6 then $7 else allowed_mime_types end,
          updated_at = now()
        where id = $1
        """
        keys = ("public", "file_size_limit", "allowed_mime_types")
        arguments = [part for key in keys for part in (key in changes, changes.get(key))]
        async with self._database.acting_as(caller) as connection:
            if await connection.execute(sql, name, *arguments) != "UPDATE 1":
                raise no_bucket()

    async def delete_bucket(self, caller: Caller, name: str) -> bool:
        """Whether it was empty, and so is gone. Raises: StorageError when there is none."""
        try:
            async with self._database.acting_as(caller, ALLOW_DELETE) as connection:
                if await connection.execute("delete from storage.buckets where id = $1", name) != "DELETE 1":
                    raise no_bucket()
        except asyncpg.ForeignKeyViolationError:
            return False
        return True

    async def put(
        self, caller: Caller, bucket: str, key: str, upload: Upload, *, upsert: bool
    ) -> tuple[str, str | None]:
        """Record an upload: the object's id, and the version that it replaced.

        Raises: StorageError when it exists and may not be replaced; asyncpg.PostgresError.
        Locks: the object's row.
        """
        values = (bucket, key, _uuid(caller.id), caller.id, json.dumps(_metadata(upload)), json.dumps(upload.metadata))
        try:
            async with self._database.acting_as(SERVICE) as connection:
                find = "select id, version from storage.objects where bucket_id = $1 and name = $2 for update"
                old = await connection.fetchrow(find, bucket, key)
                await self._database.become(connection, caller)
                object_id = old["id"] if old is not None else uuid4()
                sql = INSERT + OVERWRITE if upsert else INSERT
                # A new id even over an old row: the conflict is to be the key's, not the id's.
                await connection.execute(sql, uuid4() if old is not None else object_id, *values, upload.stored.version)
        except asyncpg.UniqueViolationError:
            raise exists_already("KeyAlreadyExists") from None
        return str(object_id), old["version"] if old is not None else None

    async def object(self, caller: Caller, bucket: str, key: str) -> asyncpg.Record:
        """An object. Raises: StorageError."""
        async with self._database.acting_as(caller, read_only=True) as connection:
            sql = "select * from storage.objects where bucket_id = $1 and name = $2"
            row = await connection.fetchrow(sql, bucket, key)
        if row is None:
            raise no_object()
        return row

    async def readable(self, caller: Caller, bucket: str, keys: list[str]) -> set[str]:
        """Those of the keys that the caller may read."""
        async with self._database.acting_as(caller, read_only=True) as connection:
            sql = "select name from storage.objects where bucket_id = $1 and name = any ($2)"
            return {row["name"] for row in await connection.fetch(sql, bucket, keys)}

    async def entries(self, caller: Caller, bucket: str, page: Page) -> list[asyncpg.Record]:
        """One level of a folder."""
        folder = page.prefix.strip("/") + "/" if page.prefix.strip("/") else ""
        # Both words of the order clause were checked against the known ones.
        sql = f"{LIST_SQL} order by {page.column} {page.direction}, name {page.direction} limit $4 offset $5"
        async with self._database.acting_as(caller, read_only=True) as connection:
            return await connection.fetch(sql, bucket, folder, page.search, page.limit, page.offset)

    async def remove(self, caller: Caller, bucket: str, keys: list[str] | None) -> list[asyncpg.Record]:
        """Delete the keys, or all of a bucket; the rows that were there and that the caller may delete."""
        sql = """
        delete from storage.objects where bucket_id = $1 and ($2::text[] is null or name = any ($2)) returning *
        """
        async with self._database.acting_as(caller, ALLOW_DELETE) as connection:
            return await connection.fetch(sql, bucket, keys)


def _metadata(upload: Upload) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "eTag": upload.stored.etag,
        "size": upload.stored.size_bytes,
        "mimetype": upload.content_type,
        "cacheControl": upload.cache_control,
        "lastModified": now,
        "contentLength": upload.stored.size_bytes,
        "httpStatusCode": 200,
    }


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None

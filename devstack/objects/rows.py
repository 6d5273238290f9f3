"""storage.objects as the caller may see and change them; knows nothing of HTTP or files.

Who may write is asked first, in a transaction that is rolled back; the row comes after the bytes, on the service's own
account. So an upload that may not replace is no lock: of several at once, each may be told that it is the first.
Source: as measured on supabase/storage v1.70.6.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from devstack.objects.acting import acting, trying
from devstack.objects.errors import exists_already, no_object
from devstack.postgres.caller import SERVICE, Caller, Database, Session

FIND = "select * from storage.objects where bucket_id = $1 and name = $2"
INSERT = """
insert into storage.objects (bucket_id, name, owner, owner_id, metadata, user_metadata, version)
values ($1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb, $7)
"""
OVERWRITE = """
on conflict (bucket_id, name) do update set
  metadata = excluded.metadata, user_metadata = excluded.user_metadata, version = excluded.version,
  owner = excluded.owner, owner_id = excluded.owner_id, updated_at = now()
"""
RENAME = """
update storage.objects set
  bucket_id = $3, name = $4, version = $5, owner = $6, owner_id = $7,
  metadata = coalesce(metadata || $8::text::jsonb, metadata), updated_at = now()
where bucket_id = $1 and name = $2
returning *
"""
TRIED_VERSION = "1"
# Until the end of the transaction; a row that is not there yet cannot be locked.
LOCK = "select pg_advisory_xact_lock(hashtextextended($1, 0))"
Copy: TypeAlias = Callable[[str | None], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Content:
    """What is noted of stored bytes."""

    version: str
    metadata: Mapping[str, Any]
    user_metadata: Mapping[str, Any]


class ObjectRows:
    """Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, caller: Caller, place: Place) -> asyncpg.Record:
        """An object. Raises: StorageError."""
        async with acting(self._database, caller, read_only=True) as connection:
            return await _found(connection, place)

    async def readable(self, caller: Caller, bucket: str, keys: list[str]) -> set[str]:
        """Those of the keys that the caller may read."""
        async with acting(self._database, caller, read_only=True) as connection:
            sql = "select name from storage.objects where bucket_id = $1 and name = any ($2)"
            return {row["name"] for row in await connection.fetch(sql, bucket, keys)}

    async def try_write(self, caller: Caller, place: Place, *, upsert: bool) -> None:
        """Raises: StorageError when it exists and may not be replaced; asyncpg.PostgresError when he may not."""
        sql = INSERT + OVERWRITE if upsert else INSERT
        owner = (owner_uuid(caller.id), caller.id)
        try:
            async with trying(self._database, caller) as connection:
                await connection.execute(sql, place.bucket, place.key, *owner, None, None, TRIED_VERSION)
        except asyncpg.UniqueViolationError:
            raise exists_already("KeyAlreadyExists") from None

    async def write(self, owner: str | None, place: Place, content: Content) -> tuple[asyncpg.Record, str | None]:
        """Record bytes, over whatever is there: the object, and the version that it replaced.

        Raises: asyncpg.PostgresError.
        Locks: the place, so that of several writers each knows what it replaces.
        """
        said = (json.dumps(content.metadata), json.dumps(content.user_metadata), content.version)
        values = (place.bucket, place.key, owner_uuid(owner), owner, *said)
        async with acting(self._database, SERVICE) as connection:
            await connection.execute(LOCK, str(place))
            old = await connection.fetchrow(FIND, place.bucket, place.key)
            (row,) = await connection.fetch(f"{INSERT} {OVERWRITE} returning *", *values)
        return row, old["version"] if old is not None else None

    async def try_rename(self, caller: Caller, place: Place, to: Place) -> None:
        """Raises: StorageError when it is not his to see or to change, or the new place is taken; asyncpg's errors."""
        async with trying(self._database, caller) as connection:
            owner = (owner_uuid(caller.id), caller.id)
            await _rename(connection, place, to.bucket, to.key, TRIED_VERSION, *owner, None)

    async def rename(self, owner: str | None, place: Place, to: Place, copy: Copy, modified: str) -> str | None:
        """Give an object a new place and a copy of its bytes; the version that it had.

        Raises: StorageError when it is gone or the new place is taken; asyncpg.PostgresError.
        Locks: both places while it is copied.
        """
        async with acting(self._database, SERVICE) as connection:
            for one in sorted((str(place), str(to))):
                await connection.execute(LOCK, one)
            old: str | None = (await _found(connection, place))["version"]
            noted, version = json.dumps({"lastModified": modified}), await copy(old)
            await _rename(connection, place, to.bucket, to.key, version, owner_uuid(owner), owner, noted)
            return old

    async def remove(self, caller: Caller, bucket: str, keys: list[str] | None) -> list[asyncpg.Record]:
        """Delete the keys, or all of a bucket; the rows that were there and that the caller may delete."""
        sql = """
        delete from storage.objects where bucket_id = $1 and ($2::text[] is null or name = any ($2)) returning *
        """
        async with acting(self._database, caller) as connection:
            return await connection.fetch(sql, bucket, keys)


async def _found(connection: Session, place: Place) -> asyncpg.Record:
    row = await connection.fetchrow(FIND, place.bucket, place.key)
    if row is None:
        raise no_object()
    return row


async def _rename(connection: Session, place: Place, *changes: object) -> None:
    try:
        row = await connection.fetchrow(RENAME, place.bucket, place.key, *changes)
    except asyncpg.UniqueViolationError:
        raise exists_already("KeyAlreadyExists") from None
    if row is None:
        raise no_object()


def owner_uuid(text: str | None) -> UUID | None:
    """The owner as the older column holds it, which knows only uuids."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None

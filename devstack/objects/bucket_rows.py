"""storage.buckets as the caller may see and change them; knows nothing of HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg

from devstack.objects.acting import acting
from devstack.objects.errors import exists_already, no_bucket
from devstack.objects.rows import owner_uuid
from devstack.postgres.caller import SERVICE, Caller, Database

BUCKET_COLUMNS = ("id", "name", "created_at", "updated_at")
LIST = "select * from storage.buckets where strpos(lower(name), lower($1)) > 0"
INSERT = """
insert into storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
values ($1, $2, $3, $4, $5, $6, $7)
"""
UPDATE = """
update storage.buckets set
  public = case when $2 then $3 else public end,
  file_size_limit = case when $4 then $5 else file_size_limit end,
  allowed_mime_types = case when $6 then $7 else allowed_mime_types end,
  updated_at = now()
where id = $1
"""


@dataclass(frozen=True, slots=True)
class BucketPage:
    """Which buckets, in which order; column and direction are known words."""

    column: str = "created_at"
    direction: str = "asc"
    limit: int | None = None
    offset: int = 0
    search: str = ""


class BucketRows:
    """Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, name: str, caller: Caller = SERVICE) -> asyncpg.Record | None:
        """A bucket, if there."""
        async with acting(self._database, caller, read_only=True) as connection:
            return await connection.fetchrow("select * from storage.buckets where id = $1", name)

    async def get(self, name: str, caller: Caller = SERVICE) -> asyncpg.Record:
        """A bucket. Raises: StorageError."""
        row = await self.find(name, caller)
        if row is None:
            raise no_bucket()
        return row

    async def list(self, caller: Caller, page: BucketPage) -> list[asyncpg.Record]:
        """Every bucket that the caller sees."""
        sql = f"{LIST} order by {page.column} {page.direction}, name limit $2 offset $3"
        async with acting(self._database, caller, read_only=True) as connection:
            return await connection.fetch(sql, page.search, page.limit, page.offset)

    async def create(self, caller: Caller, bucket_id: str, name: str, limits: dict[str, Any]) -> None:
        """Make a bucket. Raises: StorageError, asyncpg.PostgresError."""
        rules = (limits.get("public", False), limits.get("file_size_limit"), limits.get("allowed_mime_types"))
        try:
            async with acting(self._database, caller) as connection:
                await connection.execute(INSERT, bucket_id, name, owner_uuid(caller.id), caller.id, *rules)
        except asyncpg.UniqueViolationError:
            raise exists_already("BucketAlreadyExists") from None

    async def update(self, caller: Caller, bucket_id: str, changes: dict[str, Any]) -> None:
        """Change public, file_size_limit or allowed_mime_types. Raises: StorageError."""
        keys = ("public", "file_size_limit", "allowed_mime_types")
        arguments = [part for key in keys for part in (key in changes, changes.get(key))]
        async with acting(self._database, caller) as connection:
            if await connection.execute(UPDATE, bucket_id, *arguments) != "UPDATE 1":
                raise no_bucket()

    async def delete(self, caller: Caller, bucket_id: str) -> bool:
        """Whether it was empty, and so is gone. Raises: StorageError when there is none."""
        try:
            async with acting(self._database, caller) as connection:
                if await connection.execute("delete from storage.buckets where id = $1", bucket_id) != "DELETE 1":
                    raise no_bucket()
        except asyncpg.ForeignKeyViolationError:
            return False
        return True

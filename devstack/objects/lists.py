"""The two lists of objects: one level of a folder by offset, and whole names by cursor."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from devstack.objects.acting import acting
from devstack.objects.errors import StorageError
from devstack.postgres.caller import Caller, Database

LIST = Path(__file__).with_name("list.sql").read_text(encoding="utf-8")
LIST_V2 = Path(__file__).with_name("list_v2.sql").read_text(encoding="utf-8")
COLUMNS = ("name", "updated_at", "created_at", "last_accessed_at")
COLUMNS_V2 = ("name", "updated_at", "created_at")
DIRECTIONS = ("asc", "desc")
# The cursor says where the next page begins, and keeps the order of the first.
CURSOR = {"l": "after", "o": "direction", "c": "column", "a": "after_time"}


@dataclass(frozen=True, slots=True)
class Page:
    """Which entries of a folder, in which order; column and direction are known words."""

    folder: str
    search: str = ""
    limit: int = 100
    offset: int = 0
    column: str = "name"
    direction: str = "asc"


@dataclass(frozen=True, slots=True)
class PageV2:
    """Which names, in which order; column and direction are known words, empty when nobody named them."""

    prefix: str
    delimited: bool = False
    limit: int = 1000
    column: str = ""
    direction: str = ""
    after: str = ""
    after_time: str = ""

    def at(self, cursor: str) -> PageV2:
        """The page that a cursor stands for.

        Raises: StorageError.
        """
        try:
            lines = base64.b64decode(cursor, validate=True).decode("utf-8").split("\n")
            parts = {CURSOR[line[:1]]: line[2:] for line in lines if line[1:2] == ":"}
            if len(parts) != len(lines) or parts.get("column", "") not in ("", *COLUMNS_V2):
                raise ValueError(cursor)
        except (ValueError, KeyError, binascii.Error):
            message = "Invalid Parameter continuation token"
            raise StorageError("400", "InvalidParameter", message, "InvalidParameter") from None
        column, after = parts.get("column", ""), parts.get("after", "")
        direction = "desc" if parts.get("direction") == "desc" else "asc" if "direction" in parts else ""
        after_time = parts.get("after_time", "")
        return replace(self, column=column, direction=direction, after=after, after_time=after_time)

    def cursor_after(self, row: asyncpg.Record) -> str:
        """Where the page after this row begins."""
        time = row[self.column] if self.column not in ("", "name") else None
        values = (row["name"], self.direction, self.column, time.isoformat(timespec="milliseconds") if time else "")
        lines = [f"{letter}:{value}" for letter, value in zip(CURSOR, values, strict=True) if value]
        return base64.b64encode("\n".join(lines).encode()).decode()


class Lists:
    """Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self, caller: Caller, bucket: str, page: Page) -> list[asyncpg.Record]:
        """One level of a folder; by anything but the name, folders come first."""
        order = f'lower(name) collate "C" {page.direction}'
        if page.column != "name":
            order = f"id is not null, {page.column} {page.direction}, {order}"
        sql = f"{LIST} order by {order} limit $4 offset $5"
        async with acting(self._database, caller, read_only=True) as connection:
            return await connection.fetch(sql, bucket, page.folder, page.search, page.limit, page.offset)

    async def names(self, caller: Caller, bucket: str, page: PageV2) -> list[asyncpg.Record]:
        """One row more than the page has, where there are more."""
        direction = "desc" if page.direction == "desc" else "asc"
        beyond = "<" if direction == "desc" else ">"
        key, order = "name", f"name {direction}"
        if page.column not in ("", "name"):
            time = f"coalesce(date_trunc('milliseconds', {page.column}), 'epoch'::timestamptz)"
            key, order = f"({time}, name)", f"{time} {direction}, name {direction}"
            last = "(coalesce(nullif($5, '')::timestamptz, 'epoch'::timestamptz), $4)"
        else:
            last = "$4 || left($5, 0)"
        sql = f"{LIST_V2} where $4 = '' or {key} {beyond} {last} order by {order} limit $6"
        values = (bucket, page.prefix, page.delimited, page.after, page.after_time, page.limit + 1)
        async with acting(self._database, caller, read_only=True) as connection:
            return await connection.fetch(sql, *values)

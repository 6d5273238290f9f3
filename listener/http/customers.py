"""Who calls: a store by its API key, or a signed-in user by his token; each acts on rows and files his way.

A store's are written by a server it trusts, a user's in his own name. Knows nothing of what is ordered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from aiohttp import hdrs, web

from listener.api import Caller, OwnedTable, SessionDesk, Slice, User, UserDesk
from listener.errors import KeyRefused
from listener.http.callers import CHALLENGE, Callers
from listener.http.refusal import Refused
from listener.http.users import WHY, Users

Row = dict[str, Any]


class Customer(Protocol):
    """A caller, and what can be done for him. Raises: StoreUnavailable, StoreRejected; Refused (401)."""

    @property
    def caller(self) -> Caller:
        """Whose rows."""

    async def insert(self, table: OwnedTable, row: Mapping[str, Any], request_id: str) -> Row | None:
        """Insert what is not there yet, by its id; answers the new row only."""

    async def read(self, table: OwnedTable, row_id: UUID) -> Row | None:
        """His row of this id."""

    async def newest(self, table: OwnedTable, wanted: Slice) -> list[Row]:
        """His newest rows."""

    async def queue(self, row_id: UUID) -> dict[str, Any]:
        """Where his session stands."""

    async def upload(self, path: str, file: Path, content_type: str) -> None:
        """Put an object into his folder of the bucket `uploads`."""

    async def discard(self, paths: Sequence[str]) -> None:
        """Remove objects from it."""


class Customers:
    """Finds the customer of a request by whichever credential it has."""

    def __init__(self, callers: Callers, users: Users, desk: SessionDesk, user_desk: UserDesk) -> None:
        self._callers = callers
        self._users = users
        self._desk = desk
        self._user_desk = user_desk

    async def of(self, request: web.Request) -> Customer:
        """Whose request it is. Raises: Refused (401, 429); StoreError."""
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            message = "Send the header Authorization: Bearer <API key, or access token of a signed-in user>."
            raise Refused(401, "API_KEY_MISSING", message, CHALLENGE)
        if token.count(".") == 2:  # noqa: PLR2004 - header, claims and signature: no API key has a dot
            return _UserCustomer(await self._users.of(request), self._user_desk)
        return _StoreCustomer(await self._callers.of(request), self._desk)


@dataclass(frozen=True, slots=True)
class _StoreCustomer:
    caller: Caller
    desk: SessionDesk

    async def insert(self, table: OwnedTable, row: Mapping[str, Any], request_id: str) -> Row | None:
        rows = await self.desk.insert(table, [{**row, table.owner_column: str(self.caller.owner)}], request_id)
        return rows[0] if rows else None

    async def read(self, table: OwnedTable, row_id: UUID) -> Row | None:
        rows = await self.desk.read(table, self.caller.owner, table.id_column, [str(row_id)])
        return rows[0] if rows else None

    async def newest(self, table: OwnedTable, wanted: Slice) -> list[Row]:
        return await self.desk.newest(table, self.caller.owner, wanted)

    async def queue(self, row_id: UUID) -> dict[str, Any]:
        return await self.desk.queue(self.caller.owner, row_id)

    async def upload(self, path: str, file: Path, content_type: str) -> None:
        await self.desk.upload(path, file, content_type)

    async def discard(self, paths: Sequence[str]) -> None:
        await self.desk.discard(paths)


@dataclass(frozen=True, slots=True)
class _UserCustomer:
    user: User
    desk: UserDesk

    @property
    def caller(self) -> Caller:
        return Caller(self.user.id, "user_id")

    async def insert(self, table: OwnedTable, row: Mapping[str, Any], request_id: str) -> Row | None:
        with _still_signed_in():
            return await self.desk.insert(self.user, table.table, row, request_id)

    async def read(self, table: OwnedTable, row_id: UUID) -> Row | None:
        with _still_signed_in():
            rows = await self.desk.read(self.user, table.table, table.id_column, str(row_id))
        return rows[0] if rows else None

    async def newest(self, table: OwnedTable, wanted: Slice) -> list[Row]:
        with _still_signed_in():
            return await self.desk.newest(self.user, table, wanted)

    async def queue(self, row_id: UUID) -> dict[str, Any]:
        with _still_signed_in():
            return await self.desk.queue(self.user, row_id)

    async def upload(self, path: str, file: Path, content_type: str) -> None:
        with _still_signed_in():
            await self.desk.upload(self.user, path, file, content_type)

    async def discard(self, paths: Sequence[str]) -> None:
        await self.desk.discard(self.user, paths)


@contextmanager
def _still_signed_in() -> Iterator[None]:
    """A token that was good when the request came may end while its files come."""
    try:
        yield
    except KeyRefused:
        raise Refused(401, *WHY["expired"], CHALLENGE) from None

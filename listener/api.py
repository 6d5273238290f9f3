"""All that the public HTTP API asks of the world. Knows nothing of Supabase; adapters/ implement these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose sessions a request over HTTP may make and see; `owner_column` names the tables of such owners."""

    owner: UUID
    owner_column: str


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in user of the app. His token goes along with what is asked for him, and the database decides by it."""

    id: UUID
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticated:
    """What the database says of an API key. Units: requests per minute; seconds.

    `caller` is None when nobody has this key; `retry_after_s` is set when the key had its requests for now.
    """

    caller: Caller | None = None
    limit: int | None = None
    remaining: int = 0
    reset_s: int = 0
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class OwnedTable:
    """A visible table as a request over HTTP meets it: what may be written, and how its state columns are called."""

    schema: str
    table: str
    kind: str
    id_column: str
    owner_column: str
    inputs: frozenset[str]
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a session stands among its owner's: a later one is greater, and no two are equal."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows of a table an owner asks for, newest first: at most so many, below a position, in a state."""

    columns: Sequence[str]
    most: int
    status: str | None = None
    below: Position | None = None


class KeyRing(Protocol):
    """Tells whose an API key is. Raises: StoreUnavailable, StoreRejected."""

    async def authenticate(self, digest: str) -> Authenticated:
        """Find the key by its SHA-256, as hex, and count the request."""


class SessionDesk(Protocol):
    """Session rows for their owners, by way of a server they trust. Raises: StoreUnavailable, StoreRejected."""

    async def tables(self) -> Sequence[OwnedTable]:
        """Every table whose rows are sessions."""

    async def insert(
        self, table: OwnedTable, rows: Sequence[Mapping[str, Any]], request_id: str
    ) -> list[dict[str, Any]]:
        """Insert what is not there yet, by its id, all or nothing; answers the new rows only."""

    async def read(self, table: OwnedTable, owner: UUID, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
        """Those rows whose column has one of the values and that belong to the owner."""

    async def newest(self, table: OwnedTable, owner: UUID, wanted: Slice) -> list[dict[str, Any]]:
        """The owner's newest rows of a table that has `created_at`."""

    async def cancel(self, owner: UUID, row: UUID) -> Mapping[str, Any]:
        """Cancel an owner's session, or ask its worker to."""

    async def credits(self, owner: UUID) -> int:
        """An owner's balance, with the welcome grant that is still to come."""

    async def queue(self, owner: UUID, row: UUID) -> dict[str, Any]:
        """Where an owner's session stands."""

    async def upload(self, path: str, data: bytes | Path, content_type: str) -> None:
        """Put an object into the bucket `uploads`; one that is there stays as it is."""

    async def discard(self, paths: Sequence[str]) -> None:
        """Remove objects of the bucket `uploads`."""


class TokenReader(Protocol):
    """Tells whose a user's token is. Raises: StoreUnavailable when the project's keys cannot be read."""

    async def user(self, token: str) -> User | Literal["expired", "invalid"]:
        """Check signature, times and audience."""


class UserDesk(Protocol):
    """The app's tables and buckets, as its user sees and writes them. Raises: StoreUnavailable, StoreRejected."""

    async def insert(self, user: User, table: str, row: Mapping[str, Any], request_id: str) -> dict[str, Any] | None:
        """Insert what is not there yet, by its id; answers the new row only."""

    async def read(self, user: User, table: str, column: str, value: str) -> list[dict[str, Any]]:
        """Those of his rows whose column has the value."""

    async def newest(self, user: User, table: OwnedTable, wanted: Slice) -> list[dict[str, Any]]:
        """His newest rows of a table that has `created_at`; none of one that he may not read."""

    async def queue(self, user: User, row: UUID) -> dict[str, Any]:
        """Where his session stands."""

    async def cancel(self, user: User, row: UUID) -> dict[str, Any]:
        """Cancel his session, or ask its worker to."""

    async def upload(self, user: User, path: str, data: bytes | Path, content_type: str) -> None:
        """Put an object into his folder of the bucket `uploads`; one that is there stays as it is."""

    async def discard(self, user: User, paths: Sequence[str]) -> None:
        """Remove objects from it."""

    async def sign(self, user: User, bucket: str, paths: Sequence[str], valid_s: int) -> dict[str, str | None]:
        """URLs that read objects for `valid_s` seconds; None for one that is gone."""

"""Session rows and their inputs for the HTTP API, through PostgREST and Storage with the service key.

Knows how rows are inserted once and read by owner; does not know HTTP requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter

from listener.adapters.failures import translated
from listener.adapters.slices import sliced
from listener.adapters.supabase_clients import Clients
from listener.adapters.tries import tries
from listener.adapters.uploads import put_new, remove
from listener.api import OwnedTable, Slice
from listener.ports import Clock

KNOWN_FOR_S = 30.0

Answer = TypeVar("Answer")
Row = dict[str, Any]


class TableAnswer(BaseModel):
    """One entry of owned_tables."""

    schema_name: str = Field(alias="schema")
    table: str
    kind: str
    id_column: str
    owner_column: str
    columns: dict[str, str]
    inputs: frozenset[str]

    def owned(self) -> OwnedTable:
        """As the API knows it."""
        return OwnedTable(schema=self.schema_name, **self.model_dump(exclude={"schema_name"}))


TABLES = TypeAdapter(list[TableAnswer])
ROWS = TypeAdapter(list[Row])
OBJECT = TypeAdapter(Row)
CREDITS = TypeAdapter(int)


class SupabaseDesk:
    """The SessionDesk of a project; what may be repeated is repeated when the project does not answer."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._client = clients.calls
        self._uploads = clients.uploads
        self._clock = clock
        self._tables: tuple[OwnedTable, ...] = ()
        self._known_at: float | None = None

    async def tables(self) -> Sequence[OwnedTable]:
        """Every table whose rows are sessions; asked for again after half a minute."""
        now = self._clock.monotonic()
        if self._known_at is None or now - self._known_at > KNOWN_FOR_S:
            answer = await self._call("owned_tables", TABLES.validate_python)
            self._tables = tuple(one.owned() for one in answer)
            self._known_at = now
        return self._tables

    async def insert(self, table: OwnedTable, rows: Sequence[Mapping[str, Any]], request_id: str) -> list[Row]:
        """Insert what is not there yet, by its id, all or nothing; answers the new rows only.

        The ids are the caller's, so a repeated call inserts and charges nothing again.
        """
        async for attempt in tries():
            with attempt, translated(f"insert into {table.table}"):
                builder = self._of(table).upsert(
                    [dict(row) for row in rows],
                    ignore_duplicates=True,
                    on_conflict=table.id_column,
                    default_to_null=False,
                )
                builder.request.headers["X-Request-Id"] = request_id
                return ROWS.validate_python((await builder.execute()).data)
        raise AssertionError  # the last try raises

    async def read(self, table: OwnedTable, owner: UUID, column: str, values: Sequence[str]) -> list[Row]:
        """Those rows whose column has one of the values and that belong to the owner."""
        async for attempt in tries():
            with attempt, translated(f"read {table.table}"):
                found = self._of(table).select("*").eq(table.owner_column, str(owner))
                # One value goes as it is; only what needs no quotes goes into a list.
                builder = found.eq(column, values[0]) if len(values) == 1 else found.in_(column, list(values))
                return ROWS.validate_python((await builder.execute()).data)
        raise AssertionError  # the last try raises

    async def newest(self, table: OwnedTable, owner: UUID, wanted: Slice) -> list[Row]:
        """The owner's newest rows of a table that has `created_at`."""
        async for attempt in tries():
            with attempt, translated(f"list {table.table}"):
                return ROWS.validate_python((await sliced(self._of(table), table, owner, wanted).execute()).data)
        raise AssertionError  # the last try raises

    async def find(self, row: UUID) -> tuple[OwnedTable, Row] | None:
        """A session's row, whoever owns it."""
        for table in await self.tables():
            async for attempt in tries():
                with attempt, translated(f"find in {table.table}"):
                    found = await self._of(table).select("*").eq(table.id_column, str(row)).execute()
                    if rows := ROWS.validate_python(found.data):
                        return table, rows[0]
        return None

    async def cancel(self, owner: UUID, row: UUID) -> Mapping[str, Any]:
        """Cancel an owner's session, or ask its worker to."""
        arguments = {"p_owner": str(owner), "p_row_id": str(row)}
        return await self._call("cancel_owner_session", OBJECT.validate_python, **arguments)

    async def credits(self, owner: UUID) -> int:
        """An owner's balance, with the welcome grant that is still to come."""
        return await self._call("owner_credits", CREDITS.validate_python, p_owner=str(owner))

    async def queue(self, owner: UUID, row: UUID) -> Row:
        """Where an owner's session stands."""
        arguments = {"p_owner": str(owner), "p_row_id": str(row)}
        return await self._call("owner_queue_status", OBJECT.validate_python, **arguments)

    async def upload(self, path: str, data: bytes | Path, content_type: str) -> None:
        """Put an object into the bucket `uploads`; one that is there stays as it is."""
        await put_new(self._uploads.storage, path, data, content_type)

    async def discard(self, paths: Sequence[str]) -> None:
        """Remove objects of the bucket `uploads`."""
        await remove(self._client.storage, paths)

    def _of(self, table: OwnedTable) -> Any:
        return self._client.schema(table.schema).table(table.table)

    async def _call(self, function: str, read: Callable[[Any], Answer], **arguments: Any) -> Answer:
        async for attempt in tries():
            with attempt, translated(function):
                return read((await self._client.rpc(function, cast("Any", arguments)).execute()).data)
        raise AssertionError  # the last try raises

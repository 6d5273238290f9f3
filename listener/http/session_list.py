"""GET /api/sessions: what a store or a user has asked for so far, the newest first, a page at a time.

Knows which tables are a caller's and how their rows become one list; reads each through the caller's own desk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiohttp import web

from listener.api import OwnedTable, Position, SessionDesk, Slice
from listener.http.customers import Customer, Customers
from listener.http.guarded import guarded
from listener.http.openapi.operation import described
from listener.http.pages import Page, cursor_of, page_of
from listener.http.server import REQUEST_ID
from listener.http.session_forms import LIST
from listener.http.shown import columns_of, listed

CREATED_AT = "created_at"

Listed = tuple[Position, OwnedTable, Mapping[str, Any]]


class SessionList:
    """The endpoint that lists sessions."""

    def __init__(self, customers: Customers, desk: SessionDesk) -> None:
        self._customers = customers
        self._desk = desk

    def routes(self) -> list[web.AbstractRouteDef]:
        """The route to add to the application."""
        return [web.get("/api/sessions", guarded(self.read, self._customers.of))]

    @described(LIST)
    async def read(self, request: web.Request, customer: Customer) -> web.Response:
        """One page of them; the cursor of the next one when there are more."""
        tables = await self._tables(customer)
        page = page_of(request.query.items(), {table.kind for table in tables})
        found = await self._found(customer, [table for table in tables if page.kind in (None, table.kind)], page)
        shown, is_more = found[: page.limit], len(found) > page.limit
        data = {
            "sessions": [listed(table, row) for _, table, row in shown],
            "next": cursor_of(shown[-1][0]) if is_more else None,
        }
        return web.json_response({"data": data, "meta": {"request_id": request[REQUEST_ID]}})

    async def _tables(self, customer: Customer) -> list[OwnedTable]:
        """Those of such owners that say when a row was made: an adopted one may not."""
        column = customer.caller.owner_column
        return [one for one in await self._desk.tables() if one.owner_column == column and CREATED_AT in one.inputs]

    async def _found(self, customer: Customer, tables: Sequence[OwnedTable], page: Page) -> list[Listed]:
        """One more than a page of each, since any table may have all the newest."""
        found: list[Listed] = []
        for table in tables:
            wanted = Slice(columns_of(table), page.limit + 1, page.status, page.after)
            found += [(_position(table, row), table, row) for row in await customer.newest(table, wanted)]
        return sorted(found, key=lambda one: one[0], reverse=True)


def _position(table: OwnedTable, row: Mapping[str, Any]) -> Position:
    made_at = datetime.fromisoformat(str(row[CREATED_AT]))
    return Position(made_at if made_at.tzinfo else made_at.replace(tzinfo=UTC), UUID(str(row[table.id_column])))

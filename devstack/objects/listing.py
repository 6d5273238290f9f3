"""The routes of the two lists; what the caller may not see, and what is not there, is not in them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from devstack.objects.answered import entry_json, found_json
from devstack.objects.asked import Body, json_body
from devstack.objects.depot import Depot
from devstack.objects.errors import respond
from devstack.objects.lists import COLUMNS, COLUMNS_V2, DIRECTIONS, Page, PageV2

MOST_ENTRIES = 1500
MOST_NAMES = 1000


class Listing:
    """What is in a bucket."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def list(self, http: web.Request) -> web.Response:
        """One level of a folder."""
        caller, body = self._depot.caller(http), await json_body(http)
        body.require("prefix")
        folder = body.text("prefix")
        limit, offset = body.integer("limit", 1, 100), body.integer("offset", 0)
        column, direction = _order(body, COLUMNS)
        page = Page(
            folder if not folder or folder.endswith("/") else f"{folder}/",
            body.text("search"),
            min(limit, MOST_ENTRIES),
            offset,
            column or "name",
            direction or "asc",
        )
        rows = await self._depot.lists.entries(caller, http.match_info["bucket"], page)
        return respond([entry_json(row) for row in rows])

    async def list_v2(self, http: web.Request) -> web.Response:
        """Whole names, with a cursor for the rest."""
        caller, body = self._depot.caller(http), await json_body(http)
        limit = min(body.integer("limit", 1, MOST_NAMES), MOST_NAMES)
        column, direction = _order(body, COLUMNS_V2)
        page = PageV2(body.text("prefix"), body.flag("with_delimiter"), limit, column, direction)
        if cursor := body.text("cursor"):
            page = page.at(cursor)
        rows = await self._depot.lists.names(caller, http.match_info["bucket"], page)
        answer: dict[str, Any] = {"hasNext": len(rows) > limit}
        rows = rows[:limit]
        if answer["hasNext"]:
            answer |= {"nextCursor": page.cursor_after(rows[-1]), "nextCursorKey": rows[-1]["name"]}
        answer["folders"] = [_folder(row["name"]) for row in rows if row["id"] is None]
        keys = {"key": None} if page.delimited else {}
        answer["objects"] = [{**_key(row["name"], keys), **found_json(row)} for row in rows if row["id"] is not None]
        return respond(answer)


def _order(body: Body, columns: tuple[str, ...]) -> tuple[str, str]:
    """Column and direction, empty where not given. Raises: StorageError."""
    sort = body.section("sortBy")
    if sort is None:
        return "", ""
    sort.require("column")
    return sort.choice("column", columns, ""), sort.choice("order", DIRECTIONS, "asc") if "order" in sort else ""


def _folder(name: str) -> dict[str, Any]:
    return {"key": name.rstrip("/").rpartition("/")[2], "name": name}


def _key(name: str, keys: dict[str, Any]) -> dict[str, Any]:
    return {"key": name.rpartition("/")[2]} if keys else {}

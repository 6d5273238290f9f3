"""The routes of buckets."""

from __future__ import annotations

from aiohttp import web

from devstack.objects.answered import bucket_json
from devstack.objects.asked import Body, json_body
from devstack.objects.bucket_rows import BUCKET_COLUMNS, BucketPage
from devstack.objects.depot import LARGEST_OBJECT_BYTES, Depot
from devstack.objects.errors import StorageError, respond
from devstack.objects.lists import DIRECTIONS
from devstack.objects.names import check_bucket

EMPTIED = "Empty bucket has been queued. Completion may take up to an hour."


class Buckets:
    """Making, reading, changing and emptying buckets."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def list(self, http: web.Request) -> web.Response:
        """Those that the caller sees; the query may sort, search and cut."""
        caller, query = self._depot.caller(http), Body(dict(http.query), "querystring")
        page = BucketPage(
            query.choice("sortColumn", BUCKET_COLUMNS, "created_at"),
            query.choice("sortOrder", DIRECTIONS, "asc"),
            query.integer("limit", 1) if "limit" in query else None,
            query.integer("offset", 0),
            query.text("search"),
        )
        return respond([bucket_json(row, listed=True) for row in await self._depot.buckets.list(caller, page)])

    async def get(self, http: web.Request) -> web.Response:
        """One."""
        row = await self._depot.buckets.get(http.match_info["bucket"], self._depot.caller(http))
        return respond(bucket_json(row, listed=False))

    async def create(self, http: web.Request) -> web.Response:
        """A new one; its id is its name unless another is given."""
        caller, body = self._depot.caller(http), await json_body(http)
        body.require("name")
        body.choice("type", ("STANDARD",), "STANDARD")
        name = body.text("name")
        bucket_id = check_bucket(body.text("id") or name)
        await self._depot.buckets.create(caller, bucket_id, name, body.bucket_limits(LARGEST_OBJECT_BYTES))
        return respond({"name": name})

    async def update(self, http: web.Request) -> web.Response:
        """What the body does not name stays."""
        caller, body = self._depot.caller(http), await json_body(http)
        limits = body.bucket_limits(LARGEST_OBJECT_BYTES)
        await self._depot.buckets.update(caller, http.match_info["bucket"], limits)
        return respond({"message": "Successfully updated"})

    async def delete(self, http: web.Request) -> web.Response:
        """Only an empty one."""
        if not await self._depot.buckets.delete(self._depot.caller(http), http.match_info["bucket"]):
            message = "The bucket you tried to delete is not empty"
            raise StorageError("409", "ResourceNotEmpty", message, "ResourceNotEmpty")
        return respond({"message": "Successfully deleted"})

    async def empty(self, http: web.Request) -> web.Response:
        """All of its objects that the caller may delete; here at once, there some time later."""
        caller, name = self._depot.caller(http), http.match_info["bucket"]
        await self._depot.buckets.get(name, caller)
        for row in await self._depot.objects.remove(caller, name, None):
            self._depot.files.remove(row["version"])
        return respond({"message": EMPTIED})

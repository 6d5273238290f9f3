"""The /storage/v1/bucket routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from devstack.objects.errors import StorageError, invalid_request, respond
from devstack.objects.files import Files
from devstack.objects.names import check_bucket
from devstack.objects.rows import Rows
from devstack.objects.shapes import bucket_json, bucket_limits, json_object
from devstack.postgres.caller import Caller

Answer = Callable[[web.Request], Awaitable[web.Response]]
EMPTIED = "Empty bucket has been queued. Completion may take up to an hour."


class Buckets:
    """Making, reading, changing and emptying buckets."""

    def __init__(self, rows: Rows, files: Files, caller_of: Callable[[web.Request], Caller]) -> None:
        self._rows = rows
        self._files = files
        self._caller = caller_of

    def routes(self) -> list[tuple[str, str, Answer]]:
        """Method, path and answer."""
        return [
            ("GET", "/bucket", self._list),
            ("POST", "/bucket", self._create),
            ("GET", "/bucket/{bucket}", self._get),
            ("PUT", "/bucket/{bucket}", self._update),
            ("DELETE", "/bucket/{bucket}", self._delete),
            ("POST", "/bucket/{bucket}/empty", self._empty),
        ]

    async def _list(self, http: web.Request) -> web.Response:
        rows = await self._rows.buckets(self._caller(http))
        return respond([bucket_json(row, listed=True) for row in rows])

    async def _get(self, http: web.Request) -> web.Response:
        row = await self._rows.bucket(http.match_info["bucket"], self._caller(http))
        return respond(bucket_json(row, listed=False))

    async def _create(self, http: web.Request) -> web.Response:
        caller, body = self._caller(http), await json_object(http)
        name = body.get("name")
        if not isinstance(name, str):
            raise invalid_request("body must have required property 'name'")
        limits = bucket_limits(body)
        await self._rows.create_bucket(
            caller,
            check_bucket(name),
            public=limits.get("public", False),
            limit_bytes=limits.get("file_size_limit"),
            types=limits.get("allowed_mime_types"),
        )
        return respond({"name": name})

    async def _update(self, http: web.Request) -> web.Response:
        caller, body = self._caller(http), await json_object(http)
        await self._rows.update_bucket(caller, http.match_info["bucket"], bucket_limits(body))
        return respond({"message": "Successfully updated"})

    async def _delete(self, http: web.Request) -> web.Response:
        if not await self._rows.delete_bucket(self._caller(http), http.match_info["bucket"]):
            message = "The bucket you tried to delete is not empty"
            raise StorageError("409", "ResourceNotEmpty", message, "ResourceNotEmpty")
        return respond({"message": "Successfully deleted"})

    async def _empty(self, http: web.Request) -> web.Response:
        caller, name = self._caller(http), http.match_info["bucket"]
        await self._rows.bucket(name, caller)
        for row in await self._rows.remove(caller, name, None):
            self._files.remove(row["version"])
        return respond({"message": EMPTIED})

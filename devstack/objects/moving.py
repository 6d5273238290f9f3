"""Copying, moving and removing objects."""

from __future__ import annotations

from typing import Any

import asyncpg
from aiohttp import web

from devstack.objects.answered import metadata_of, now_json, object_json
from devstack.objects.asked import Body, json_body
from devstack.objects.bodies import json_object, user_metadata
from devstack.objects.depot import Depot, place_of
from devstack.objects.errors import no_object, respond
from devstack.objects.names import check_key, check_segments
from devstack.objects.rows import Content, Place


class Moving:
    """What happens to objects after they were stored."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def copy(self, http: web.Request) -> web.Response:
        """The caller may read the one and write the other."""
        caller, body = self._depot.caller(http), await json_body(http)
        body.require("sourceKey", "bucketId", "destinationKey")
        place, to = _places(body)
        check_key(to.key)
        await self._depot.objects.find(caller, place)
        await self._depot.buckets.get(to.bucket)
        await self._depot.objects.try_write(caller, to, upsert=http.headers.get("x-upsert") == "true")
        check_segments(to.bucket, to.key)
        origin, version = await self._depot.with_bytes(caller, place, self._depot.files.copy)
        try:
            row, replaced = await self._depot.objects.write(caller.id, to, _copy(http, body, origin, version))
        except BaseException:
            self._depot.files.remove(version)
            raise
        self._depot.files.remove(replaced)
        return respond({"Key": str(to), "Id": str(row["id"]), **object_json(row)})

    async def move(self, http: web.Request) -> web.Response:
        """The caller may see and change the one, and the other is free."""
        caller, body = self._depot.caller(http), await json_body(http)
        body.require("bucketId", "sourceKey", "destinationKey")
        place, to = _places(body)
        check_key(to.key)
        await self._depot.objects.try_rename(caller, place, to)
        check_segments(to.bucket, to.key)
        if place != to:
            await self._move(caller.id, place, to)
        return respond({"message": "Successfully moved"})

    async def remove(self, http: web.Request) -> web.Response:
        """Many; what is not there, or not his to delete, is silently not in the answer."""
        caller, body = self._depot.caller(http), await json_body(http)
        body.require("prefixes")
        rows = await self._depot.objects.remove(caller, http.match_info["bucket"], body.texts("prefixes", 1))
        for row in rows:
            self._depot.files.remove(row["version"])
        return respond([object_json(row) for row in rows])

    async def remove_one(self, http: web.Request) -> web.Response:
        """One, which must be there and his to delete."""
        caller, place = self._depot.caller(http), place_of(http)
        rows = await self._depot.objects.remove(caller, place.bucket, [place.key])
        if not rows:
            raise no_object()
        self._depot.files.remove(rows[0]["version"])
        return respond({"message": "Successfully deleted"})

    async def _move(self, owner: str | None, place: Place, to: Place) -> None:
        made: list[str] = []

        async def copy(version: str | None) -> str:
            made.append(await self._depot.files.copy(version))
            return made[0]

        try:
            left = await self._depot.objects.rename(owner, place, to, copy, now_json())
        except FileNotFoundError:
            raise no_object() from None
        except BaseException:
            for version in made:
                self._depot.files.remove(version)
            raise
        self._depot.files.remove(left)


def _places(body: Body) -> tuple[Place, Place]:
    bucket = body.text("bucketId")
    to = Place(body.text("destinationBucket") or bucket, body.text("destinationKey"))
    return Place(bucket, body.text("sourceKey")), to


def _copy(http: web.Request, body: Body, origin: asyncpg.Record, version: str) -> Content:
    """What is noted of the copy: the same, unless the request brings its own."""
    metadata: dict[str, Any] = {**metadata_of(origin), "lastModified": now_json()}
    if body.flag("copyMetadata", default=True):
        return Content(version, metadata, json_object(origin["user_metadata"]))
    given = body.section("metadata")
    for name in ("cacheControl", "mimetype"):
        metadata.pop(name, None)
        if given is not None and name in given:
            metadata[name] = given.text(name)
    return Content(version, metadata, user_metadata(http))

"""Uploads: by a caller, and by whoever holds a signed URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
from aiohttp import web

from devstack.objects.answered import now_json
from devstack.objects.bodies import Upload, read_upload
from devstack.objects.depot import LARGEST_OBJECT_BYTES, Depot, place_of
from devstack.objects.errors import invalid_type, respond
from devstack.objects.files import Stored
from devstack.objects.names import check_key, check_segments, is_placeholder
from devstack.objects.rows import Content, Place
from devstack.objects.tokens import UPLOAD, sign_upload
from devstack.postgres.caller import SERVICE, Caller


class Uploading:
    """Storing new bytes."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def upload(self, http: web.Request) -> web.Response:
        """POST keeps what is there unless told otherwise; PUT replaces."""
        caller, place = self._depot.caller(http), place_of(http)
        upsert = http.method == "PUT" or http.headers.get("x-upsert") == "true"
        row = await self._store(http, caller, place, caller.id, upsert=upsert)
        return respond({"Key": str(place), "Id": str(row["id"])})

    async def sign(self, http: web.Request) -> web.Response:
        """A URL to upload one object; the caller may write it now, whoever uses the URL is not asked again."""
        caller, place = self._depot.caller(http), place_of(http)
        upsert = http.headers.get("x-upsert") == "true"
        await self._depot.buckets.get(place.bucket)
        await self._depot.objects.try_write(caller, place, upsert=upsert)
        token = sign_upload(str(place), caller.id, self._depot.keys, upsert=upsert)
        return respond({"url": f"/object/upload/sign/{place}?token={token}", "token": token})

    async def upload_signed(self, http: web.Request) -> web.Response:
        """Only what was signed counts; the headers of this request do not."""
        signed, place = self._depot.signed(http, UPLOAD), place_of(http)
        await self._store(http, SERVICE, place, signed.owner, upsert=signed.upsert)
        return respond({"Key": str(place)})

    async def _store(
        self, http: web.Request, caller: Caller, place: Place, owner: str | None, *, upsert: bool
    ) -> asyncpg.Record:
        bucket = await self._depot.buckets.get(place.bucket)
        made: list[Stored] = []

        async def store(declared: str, chunks: AsyncIterator[bytes]) -> Stored:
            if not is_placeholder(place.key):
                _check_type(bucket["allowed_mime_types"], declared)
            check_key(place.key)
            await self._depot.objects.try_write(caller, place, upsert=upsert)
            check_segments(place.bucket, place.key)
            made.append(await self._depot.files.write(chunks, _limit_bytes(bucket, place)))
            return made[0]

        try:
            upload = await read_upload(http, store)
            row, replaced = await self._depot.objects.write(owner, place, _content(upload))
        except BaseException:
            for one in made:
                self._depot.files.remove(one.version)
            raise
        self._depot.files.remove(replaced)
        return row


def _limit_bytes(bucket: asyncpg.Record, place: Place) -> int:
    if is_placeholder(place.key):
        return 0
    limit_bytes: int | None = bucket["file_size_limit"]
    return LARGEST_OBJECT_BYTES if limit_bytes is None else min(limit_bytes, LARGEST_OBJECT_BYTES)


def _check_type(allowed: list[str] | None, declared: str) -> None:
    """The declared type as it stands counts, parameters and all; nobody looks into the bytes."""
    families = {one.removesuffix("/*") for one in allowed or [] if one.endswith("/*")}
    if allowed and not {declared, "*", "*/*"} & {*allowed} and declared.partition("/")[0] not in families:
        raise invalid_type(declared)


def _content(upload: Upload) -> Content:
    metadata: dict[str, Any] = {
        "eTag": upload.stored.etag,
        "size": upload.stored.size_bytes,
        "mimetype": upload.content_type,
        "cacheControl": upload.cache_control,
        "lastModified": now_json(),
        "contentLength": upload.stored.size_bytes,
        "httpStatusCode": 200,
    }
    return Content(upload.stored.version, metadata, upload.metadata)

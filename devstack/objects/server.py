"""The /storage/v1 routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
from aiohttp import hdrs, web

from devstack.auth.bearer import authorization
from devstack.objects.bodies import read_upload
from devstack.objects.buckets import Buckets
from devstack.objects.download import bytes_response
from devstack.objects.errors import (
    StorageError,
    from_postgres,
    invalid_request,
    no_bucket,
    no_object,
    no_route,
    respond,
)
from devstack.objects.files import Files, Stored
from devstack.objects.names import check_key
from devstack.objects.rows import Page, Rows
from devstack.objects.shapes import entry_json, info_json, json_object, positive, removed_json, texts
from devstack.objects.tokens import caller_of, check_download, sign_download
from devstack.postgres.caller import SERVICE, Caller, Database
from devstack.tokens import ProjectKeys

PREFIX = "/storage/v1"
LARGEST_OBJECT_BYTES = 50 * 1024 * 1024
LIST_LIMIT = 100
# What stays as it is in a path; a key holds nothing else but `?`, a space and the like.
URL_SAFE = "/!*'();:@&=+$,-_.~"
UNKNOWN = ("upload/", "list-v2/", "copy", "move")
NOT_SIGNED = "Either the object does not exist or you do not have access to it"
Answer = Callable[[web.Request], Awaitable[web.Response]]


class ObjectServer:
    """Storage's part of the stack; `folder` is empty and nobody else's."""

    def __init__(self, database: Database, keys: ProjectKeys, folder: Path, kick: Callable[[], None]) -> None:
        self._rows = Rows(database)
        self._keys = keys
        self._files = Files(folder)
        self._kick = kick
        self._buckets = Buckets(self._rows, self._files, self._caller)

    def routes(self) -> list[web.AbstractRouteDef]:
        """Everything below /storage/v1."""
        answers: list[tuple[str, str, Answer]] = [
            *self._buckets.routes(),
            # Not implemented; without these they would be taken for objects in buckets of these names.
            *((method, f"/object/{name}{{rest:.*}}", _no_route) for method in ("POST", "PUT") for name in UNKNOWN),
            ("POST", "/object/sign/{bucket}", self._sign_many),
            ("POST", "/object/sign/{bucket}/{key:.+}", self._sign),
            ("GET", "/object/sign/{bucket}/{key:.+}", self._get_signed),
            ("POST", "/object/list/{bucket}", self._list),
            ("GET", "/object/info/{bucket}/{key:.+}", self._info),
            ("GET", "/object/public/{bucket}/{key:.+}", self._get_public),
            ("GET", "/object/authenticated/{bucket}/{key:.+}", self._get),
            ("GET", "/object/{bucket}/{key:.+}", self._get),
            ("POST", "/object/{bucket}/{key:.+}", self._upload),
            ("PUT", "/object/{bucket}/{key:.+}", self._upload),
            ("DELETE", "/object/{bucket}", self._remove),
            ("DELETE", "/object/{bucket}/{key:.+}", self._remove_one),
            ("GET", "/status", _status),
        ]
        routes = [web.route(method, PREFIX + path, self._guarded(answer)) for method, path, answer in answers]
        return [*routes, web.route(hdrs.METH_ANY, PREFIX + "/{path:.*}", _no_route)]

    def _guarded(self, answer: Answer) -> Answer:
        async def guarded(http: web.Request) -> web.Response:
            try:
                response = await answer(http)
            except StorageError as error:
                return error.response()
            except asyncpg.PostgresError as error:
                return from_postgres(error).response()
            except (OSError, asyncpg.InterfaceError):
                return StorageError("500", "Internal", "Internal Server Error", "InternalError").response()
            if http.method not in ("GET", "HEAD"):
                self._kick()
            return response

        return guarded

    def _caller(self, http: web.Request) -> Caller:
        return caller_of(authorization(http), self._keys)

    async def _upload(self, http: web.Request) -> web.Response:
        caller, (name, key) = self._caller(http), _place(http)
        check_key(key)
        bucket = await self._rows.bucket(name)
        limit_bytes = min(bucket["file_size_limit"] or LARGEST_OBJECT_BYTES, LARGEST_OBJECT_BYTES)

        async def store(declared: str, chunks: AsyncIterator[bytes]) -> Stored:
            _check_type(bucket["allowed_mime_types"], declared)
            return await self._files.write(chunks, limit_bytes)

        upload = await read_upload(http, store)
        upsert = http.method == "PUT" or http.headers.get("x-upsert") == "true"
        try:
            object_id, replaced = await self._rows.put(caller, name, key, upload, upsert=upsert)
        except BaseException:
            self._files.remove(upload.stored.version)
            raise
        self._files.remove(replaced)
        return respond({"Key": f"{name}/{key}", "Id": object_id})

    async def _sign(self, http: web.Request) -> web.Response:
        caller, (bucket, key) = self._caller(http), _place(http)
        valid_s = positive(await json_object(http), "expiresIn")
        await self._rows.object(caller, bucket, key)
        return respond({"signedURL": self._signed_url(bucket, key, valid_s)})

    async def _sign_many(self, http: web.Request) -> web.Response:
        caller, bucket, body = self._caller(http), http.match_info["bucket"], await json_object(http)
        valid_s, keys = positive(body, "expiresIn"), texts(body, "paths")
        readable = await self._rows.readable(caller, bucket, keys)
        answers: list[dict[str, str | None]] = [
            {"error": None, "path": key, "signedURL": self._signed_url(bucket, key, valid_s)}
            if key in readable
            else {"error": NOT_SIGNED, "path": key, "signedURL": None}
            for key in keys
        ]
        return respond(answers)

    def _signed_url(self, bucket: str, key: str, valid_s: int) -> str:
        token = sign_download(bucket, key, valid_s, self._keys)
        return f"/object/sign/{quote(bucket, safe=URL_SAFE)}/{quote(key, safe=URL_SAFE)}?token={token}"

    async def _get_signed(self, http: web.Request) -> web.Response:
        bucket, key = _place(http)
        if "token" not in http.query:
            raise invalid_request("querystring must have required property 'token'")
        ends = check_download(http.query["token"], bucket, key, self._keys)
        return await self._bytes(http, SERVICE, expires_at_s=ends, signed=True)

    async def _get(self, http: web.Request) -> web.Response:
        return await self._bytes(http, self._caller(http))

    async def _get_public(self, http: web.Request) -> web.Response:
        bucket = await self._rows.bucket(http.match_info["bucket"])
        if not bucket["public"]:
            raise no_bucket()
        return await self._bytes(http, SERVICE)

    async def _bytes(
        self, http: web.Request, caller: Caller, *, expires_at_s: int | None = None, signed: bool = False
    ) -> web.Response:
        bucket, key = _place(http)
        row = await self._rows.object(caller, bucket, key)
        try:
            data = await self._files.read(row["version"])
        except FileNotFoundError:
            raise no_object() from None
        return bytes_response(http, row, data, expires_at_s=expires_at_s, signed=signed)

    async def _info(self, http: web.Request) -> web.Response:
        bucket, key = _place(http)
        if bucket in ("authenticated", "public") and "/" in key:
            bucket, _, key = key.partition("/")
        return respond(info_json(await self._rows.object(self._caller(http), bucket, key)))

    async def _list(self, http: web.Request) -> web.Response:
        caller, body = self._caller(http), await json_object(http)
        if not isinstance(body.get("prefix"), str):
            raise invalid_request("body must have required property 'prefix'")
        limit, offset = positive(body, "limit", LIST_LIMIT), body.get("offset") or 0
        if not isinstance(offset, int) or offset < 0:
            raise invalid_request("body/offset must be >= 0")
        sort: dict[str, Any] = body.get("sortBy") or {}
        try:
            column, direction = sort.get("column") or "name", sort.get("order") or "asc"
            page = Page(body["prefix"], str(body.get("search") or ""), limit, offset, column, direction)
        except (ValueError, AttributeError):
            raise invalid_request("body/sortBy/column must be equal to one of the allowed values") from None
        rows = await self._rows.entries(caller, http.match_info["bucket"], page)
        return respond([entry_json(row) for row in rows])

    async def _remove(self, http: web.Request) -> web.Response:
        caller, keys = self._caller(http), texts(await json_object(http), "prefixes")
        rows = await self._rows.remove(caller, http.match_info["bucket"], keys)
        for row in rows:
            self._files.remove(row["version"])
        return respond([removed_json(row) for row in rows])

    async def _remove_one(self, http: web.Request) -> web.Response:
        bucket, key = _place(http)
        rows = await self._rows.remove(self._caller(http), bucket, [key])
        if not rows:
            raise no_object()
        self._files.remove(rows[0]["version"])
        return respond({"message": "Successfully deleted"})


def _place(http: web.Request) -> tuple[str, str]:
    return http.match_info["bucket"], http.match_info["key"]


def _check_type(allowed: list[str] | None, declared: str) -> None:
    families = {one.removesuffix("/*") for one in allowed or [] if one.endswith("/*")}
    if allowed and declared not in allowed and "*/*" not in allowed and declared.partition("/")[0] not in families:
        raise StorageError("415", "invalid_mime_type", f"mime type {declared} is not supported", "InvalidMimeType")


async def _status(_http: web.Request) -> web.Response:
    return web.Response()


async def _no_route(http: web.Request) -> web.Response:
    return no_route(http, PREFIX)

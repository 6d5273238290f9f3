"""The /storage/v1 routes, and what is answered when one of them fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import asyncpg
from aiohttp import hdrs, web

from devstack.objects.acting import note_request
from devstack.objects.bucket_rows import BucketRows
from devstack.objects.buckets import Buckets
from devstack.objects.depot import Depot
from devstack.objects.errors import StorageError, from_postgres, no_route, no_versions, too_slow, unavailable
from devstack.objects.files import Files
from devstack.objects.listing import Listing
from devstack.objects.lists import Lists
from devstack.objects.moving import Moving
from devstack.objects.reading import Reading
from devstack.objects.rows import ObjectRows
from devstack.objects.signing import Signing
from devstack.objects.uploading import Uploading
from devstack.postgres.caller import Database
from devstack.tokens import ProjectKeys

PREFIX = "/storage/v1"
Answer: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
# Method, path, the operation that policies may ask for, and who answers.
Route: TypeAlias = tuple[str, str, str, Answer]
OBJECT = "{bucket}/{key:(?s:.+)}"  # a line break, too, which no key may have


class ObjectServer:
    """Storage's part of the stack; `folder` is empty and nobody else's."""

    def __init__(self, database: Database, keys: ProjectKeys, folder: Path, kick: Callable[[], None]) -> None:
        rows = (BucketRows(database), ObjectRows(database), Lists(database))
        self._depot = Depot(*rows, Files(folder), keys)
        self._kick = kick

    def routes(self) -> list[web.AbstractRouteDef]:
        """Everything below /storage/v1; the order matters, as an object may lie in a bucket called `sign`."""
        table = [*_bucket_routes(self._depot), *_read_routes(self._depot), *_write_routes(self._depot)]
        answers = [(method, path, self._guarded(answer, operation)) for method, path, operation, answer in table]
        answers += [("GET", "/status", _status), ("GET", "/version", _version)]
        routes = [web.route(method, PREFIX + path, answer) for method, path, answer in answers]
        return [*routes, web.route(hdrs.METH_ANY, PREFIX + "/{path:(?s:.*)}", _no_route)]

    def _guarded(self, answer: Answer, operation: str) -> Answer:
        async def guarded(http: web.Request) -> web.Response:
            note_request(http, operation, PREFIX)
            try:
                if "versionId" in http.query:
                    raise no_versions()
                response = await answer(http)
            except StorageError as error:
                return error.response()
            except asyncpg.PostgresError as error:
                return from_postgres(error).response()
            except TimeoutError:
                return too_slow().response()
            except (OSError, asyncpg.InterfaceError):
                return unavailable().response()
            if http.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
                self._kick()
            return response

        return guarded


def _bucket_routes(depot: Depot) -> list[Route]:
    buckets = Buckets(depot)
    return [
        ("GET", "/bucket", "bucket.list", buckets.list),
        ("POST", "/bucket", "bucket.create", buckets.create),
        ("GET", "/bucket/{bucket}", "bucket.get", buckets.get),
        ("PUT", "/bucket/{bucket}", "bucket.update", buckets.update),
        ("DELETE", "/bucket/{bucket}", "bucket.delete", buckets.delete),
        ("POST", "/bucket/{bucket}/empty", "bucket.empty", buckets.empty),
    ]


def _read_routes(depot: Depot) -> list[Route]:
    reading, listing, signing = Reading(depot), Listing(depot), Signing(depot)
    return [
        ("POST", "/object/sign/{bucket}", "object.sign_many", signing.sign_many),
        ("POST", f"/object/sign/{OBJECT}", "object.sign", signing.sign),
        ("GET", f"/object/sign/{OBJECT}", "object.get_signed", reading.get_signed),
        ("POST", "/object/list/{bucket}", "object.list", listing.list),
        ("POST", "/object/list-v2/{bucket}", "object.list_v2", listing.list_v2),
        ("GET", f"/object/info/public/{OBJECT}", "object.info_public", reading.info_public),
        ("GET", f"/object/info/authenticated/{OBJECT}", "object.get_authenticated_info", reading.info_authenticated),
        ("GET", f"/object/info/{OBJECT}", "object.get_authenticated_info", reading.info),
        ("GET", f"/object/public/{OBJECT}", "object.get_public", reading.get_public),
        ("GET", f"/object/authenticated/{OBJECT}", "object.get_authenticated", reading.get_authenticated),
        ("GET", f"/object/{OBJECT}", "object.get_authenticated", reading.get),
    ]


def _write_routes(depot: Depot) -> list[Route]:
    uploading, moving = Uploading(depot), Moving(depot)
    return [
        ("POST", "/object/copy", "object.copy", moving.copy),
        ("POST", "/object/move", "object.move", moving.move),
        ("POST", f"/object/upload/sign/{OBJECT}", "object.sign_upload_url", uploading.sign),
        ("PUT", f"/object/upload/sign/{OBJECT}", "object.upload_signed", uploading.upload_signed),
        ("POST", f"/object/{OBJECT}", "object.upload", uploading.upload),
        ("PUT", f"/object/{OBJECT}", "object.upload_update", uploading.upload),
        ("DELETE", "/object/{bucket}", "object.delete_many", moving.remove),
        ("DELETE", f"/object/{OBJECT}", "object.delete", moving.remove_one),
    ]


async def _status(_http: web.Request) -> web.Response:
    return web.Response()


async def _version(_http: web.Request) -> web.Response:
    return web.Response(text="0.0.0")


async def _no_route(http: web.Request) -> web.Response:
    return no_route(http, PREFIX)

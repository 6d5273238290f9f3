"""What every group of routes works with: rows, files, keys, and who is calling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
from aiohttp import web

from devstack.auth.bearer import authorization
from devstack.objects.bucket_rows import BucketRows
from devstack.objects.errors import StorageError, invalid_request, no_object
from devstack.objects.files import Files
from devstack.objects.lists import Lists
from devstack.objects.rows import ObjectRows, Place
from devstack.objects.tokens import Signed, caller_of, check_signed
from devstack.postgres.caller import Caller
from devstack.tokens import ProjectKeys

LARGEST_OBJECT_BYTES = 50 * 1024 * 1024
REPLACED_MOST = 3
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Depot:
    """Storage's own things, and what a request says of itself."""

    buckets: BucketRows
    objects: ObjectRows
    lists: Lists
    files: Files
    keys: ProjectKeys

    def caller(self, http: web.Request) -> Caller:
        """Who calls. Raises: StorageError."""
        return caller_of(authorization(http), self.keys)

    def caller_if_any(self, http: web.Request) -> Caller | None:
        """Who calls, where the route is open to those without a good token as well."""
        try:
            return self.caller(http)
        except StorageError:
            return None

    def signed(self, http: web.Request, scope: str) -> Signed:
        """What the token in the URL allows. Raises: StorageError."""
        if "token" not in http.query:
            raise invalid_request("querystring must have required property 'token'")
        return check_signed(http.query["token"], str(place_of(http)), scope, self.keys)

    async def with_bytes(
        self, caller: Caller, place: Place, use: Callable[[str | None], Awaitable[T]]
    ) -> tuple[asyncpg.Record, T]:
        """An object and what `use` makes of the version of its bytes, asked again when they were just replaced.

        Raises: StorageError.
        """
        for _ in range(REPLACED_MOST):
            row = await self.objects.find(caller, place)
            try:
                return row, await use(row["version"])
            except FileNotFoundError:
                continue
        raise no_object()


def place_of(http: web.Request) -> Place:
    """The object that the path names."""
    return Place(http.match_info["bucket"], http.match_info["key"])

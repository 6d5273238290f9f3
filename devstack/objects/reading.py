"""Objects as they are read: by a caller, in the open, and by whoever holds a signed URL."""

from __future__ import annotations

from aiohttp import hdrs, web

from devstack.objects.answered import info_json
from devstack.objects.depot import Depot, place_of
from devstack.objects.download import bytes_response, cache_headers
from devstack.objects.errors import no_bucket, respond
from devstack.objects.names import check_key
from devstack.objects.tokens import DOWNLOAD
from devstack.postgres.caller import SERVICE, Caller


class Reading:
    """Bytes, and what is known of them."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def get(self, http: web.Request) -> web.Response:
        """A public bucket is open to everybody, a private one to callers with a good token."""
        return await self._bytes(http, self._depot.caller_if_any(http))

    async def get_authenticated(self, http: web.Request) -> web.Response:
        """Only with a good token."""
        return await self._bytes(http, self._depot.caller(http))

    async def get_public(self, http: web.Request) -> web.Response:
        """Only from a public bucket."""
        return await self._bytes(http, None)

    async def get_signed(self, http: web.Request) -> web.Response:
        """Whatever was signed for, without asking who reads."""
        signed, place = self._depot.signed(http, DOWNLOAD), place_of(http)
        check_key(place.key)
        row, data = await self._depot.with_bytes(SERVICE, place, self._depot.files.read)
        return bytes_response(http, row, data, signed=True, ends_s=signed.ends_s)

    async def info(self, http: web.Request) -> web.Response:
        """What is known of an object that the caller may read."""
        if http.method == hdrs.METH_HEAD:  # no such route there: it is an object in a bucket of this name
            raise no_bucket()
        return await self._info(http, self._depot.caller_if_any(http))

    async def info_authenticated(self, http: web.Request) -> web.Response:
        """Only with a good token."""
        return await self._info(http, self._depot.caller(http))

    async def info_public(self, http: web.Request) -> web.Response:
        """Only from a public bucket."""
        return await self._info(http, None)

    async def _bytes(self, http: web.Request, caller: Caller | None) -> web.Response:
        reader, place = await self._reader(http, caller), place_of(http)
        row, data = await self._depot.with_bytes(reader, place, self._depot.files.read)
        return bytes_response(http, row, data)

    async def _info(self, http: web.Request, caller: Caller | None) -> web.Response:
        row = await self._depot.objects.find(await self._reader(http, caller), place_of(http))
        response = respond(info_json(row))
        response.headers.update(cache_headers(row))
        return response

    async def _reader(self, http: web.Request, caller: Caller | None) -> Caller:
        """On whose account the row is read. Raises: StorageError."""
        place = place_of(http)
        bucket = await self._depot.buckets.get(place.bucket)
        if caller is None and not bucket["public"]:
            raise no_bucket()
        check_key(place.key)
        return SERVICE if caller is None or bucket["public"] else caller

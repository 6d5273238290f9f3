"""Signed URLs to read with, one or many at once."""

from __future__ import annotations

from aiohttp import web

from devstack.objects.asked import json_body
from devstack.objects.depot import Depot, place_of
from devstack.objects.errors import respond
from devstack.objects.names import check_key
from devstack.objects.rows import Place
from devstack.objects.tokens import sign_download

NOT_SIGNED = "Either the object does not exist or you do not have access to it"


class Signing:
    """Whoever may read now may give the right away for a while."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def sign(self, http: web.Request) -> web.Response:
        """One object, which must be there."""
        caller, place, body = self._depot.caller(http), place_of(http), await json_body(http)
        body.require("expiresIn")
        valid_s = body.integer("expiresIn", 1)
        check_key(place.key)
        await self._depot.objects.find(caller, place)
        return respond({"signedURL": self._url(place, valid_s)})

    async def sign_many(self, http: web.Request) -> web.Response:
        """Each path gets its URL, or is told that there is none."""
        caller, bucket, body = self._depot.caller(http), http.match_info["bucket"], await json_body(http)
        body.require("expiresIn", "paths")
        valid_s, keys = body.integer("expiresIn", 1), body.texts("paths", 1)
        readable = await self._depot.objects.readable(caller, bucket, keys)
        answers: list[dict[str, str | None]] = [
            {"error": None, "path": key, "signedURL": self._url(Place(bucket, key), valid_s)}
            if key in readable
            else {"error": NOT_SIGNED, "path": key, "signedURL": None}
            for key in keys
        ]
        return respond(answers)

    def _url(self, place: Place, valid_s: int) -> str:
        """Relative; the clients escape it themselves, all but the question mark."""
        token = sign_download(str(place), valid_s, self._depot.keys)
        return f"/object/sign/{str(place).replace('?', '%3F')}?token={token}"

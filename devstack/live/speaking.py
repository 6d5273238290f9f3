"""Broadcasts over HTTP: `POST /api/broadcast` and `POST /api/broadcast/{topic}/events/{event}`.

Knows requests; who hears a message is the registry's matter, who may send one the policies'.
Source: supabase/realtime lib/realtime/tenants/batch_broadcast.ex; statuses and the 401 are recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from aiohttp import web

from devstack.auth.bearer import authorization
from devstack.changes.capture import DATABASE_GONE
from devstack.live.frames import Broadcast, compact, parsed
from devstack.live.identity import Identity, TokenRefusedError, identify
from devstack.live.permissions import Asker, may_write
from devstack.live.registry import PREFIX, Room
from devstack.live.services import Services

BLANK = "can't be blank"
INVALID = "is invalid"
REQUIRED: dict[str, type] = {"topic": str, "event": str, "payload": dict}


class Message(NamedTuple):
    """One message of a request."""

    room: Room
    broadcast: Broadcast


async def speak(services: Services, request: web.Request) -> web.Response:
    """Send a batch of messages."""
    identity = _identity(services, request)
    body = parsed(await request.read())
    asked = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(asked, list):
        errors: Any = [BLANK if asked is None else INVALID]
        return _refusal({"errors": {"messages": errors}}, 422)
    errors = [_errors(each) for each in asked]
    if any(errors):
        return _refusal({"errors": {"messages": errors}}, 422)
    return await _send(services, request, identity, [_message(each) for each in asked])


async def speak_once(services: Services, request: web.Request) -> web.Response:
    """Send one message, whose payload is the body: JSON, or plain bytes."""
    identity = _identity(services, request)
    body = await request.read()
    is_json = request.content_type != "application/octet-stream"
    if is_json and not isinstance(parsed(body), dict):
        return _refusal({"errors": {"payload": [INVALID]}}, 422)
    room = Room(PREFIX + request.match_info["topic"], request.query.get("private") == "true")
    broadcast = Broadcast(request.match_info["event"], body, is_json)
    return await _send(services, request, identity, [Message(room, broadcast)])


def _identity(services: Services, request: web.Request) -> Identity:
    try:
        return identify((authorization(request) or "").removeprefix("Bearer "), services.keys)
    except TokenRefusedError as refused:
        text = compact({"message": "Unauthorized"})
        raise web.HTTPUnauthorized(text=text, content_type="application/json") from refused


async def _send(services: Services, request: web.Request, identity: Identity, messages: list[Message]) -> web.Response:
    if services.events.exceeded:
        return _refusal({"message": "You have exceeded your rate limit"}, 429)
    if not services.events.fits(len(messages)):
        return _refusal({"message": "Too many messages to broadcast, please reduce the batch size"}, 429)
    try:
        allowed = await _allowed(services, request.headers, identity, {message.room for message in messages})
    except DATABASE_GONE:
        return _refusal({"message": "Realtime was unable to connect to the project database"}, 503)
    for room, broadcast in messages:
        if room in allowed and len(broadcast.body) <= services.limits.broadcast_bytes:
            services.events.add()
            for member in services.registry.members(room):
                services.faults.pass_on(room.topic, partial(member.deliver_broadcast, broadcast))
    return web.Response(status=202)


async def _allowed(services: Services, headers: Mapping[str, str], identity: Identity, rooms: set[Room]) -> set[Room]:
    allowed = {room for room in rooms if not room.is_private}
    if allowed == rooms:
        return allowed
    async with services.pool.acquire() as connection:
        for room in rooms - allowed:
            asker = Asker(room.topic.removeprefix(PREFIX), identity, dict(headers))
            if await may_write(connection, asker, "broadcast"):
                allowed.add(room)
    return allowed


def _errors(asked: object) -> dict[str, list[str]]:
    message = asked if isinstance(asked, dict) else {}
    return {
        name: [BLANK if message.get(name) in (None, "") else INVALID]
        for name, kind in REQUIRED.items()
        if not isinstance(message.get(name), kind) or message[name] == ""
    }


def _message(asked: dict[str, Any]) -> Message:
    body = compact(asked["payload"]).encode()
    return Message(Room(PREFIX + asked["topic"], asked.get("private") is True), Broadcast(asked["event"], body, True))


def _refusal(body: object, status: int) -> web.Response:
    return web.json_response(body, status=status, dumps=compact)

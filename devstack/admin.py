"""The door through which a program outside switches the faults: only with the key that was made at the start.

To everybody else it is an address that does not exist. Knows the faults' names; what they do is theirs.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from types import NoneType
from typing import Any, TypeVar, get_args

from aiohttp import hdrs, web

from devstack.faults import EventFault, EventKind, FaultImpossibleError, Faults, HttpFault, HttpKind
from devstack.received import read_json

PREFIX = "/devstack/v1/faults"
IN_PROCESS = ("act_before", "act_after")  # what they call cannot be said in JSON
KINDS: dict[type, tuple[str, ...]] = {
    HttpFault: tuple(kind for kind in get_args(HttpKind) if kind not in IN_PROCESS),
    EventFault: get_args(EventKind),
}
NUMBER = (int, float)
TYPES: dict[str, type | tuple[type, ...]] = {
    "kind": str,
    "path": str,
    "method": str,
    "topic": str,
    "status": int,
    "nth": int,
    "times": (int, NoneType),
    "chance": NUMBER,
    "delay_s": NUMBER,
    "retry_after_s": (int, NoneType),
}
SWITCHES: dict[str, type | tuple[type, ...]] = {
    "realtime_muted": bool,
    "subscribe_delay_s": NUMBER,
    "token_life_s": int,
    "seed": int,
}
SOCKETS: dict[str, type | tuple[type, ...]] = {"do": str, "code": (int, NoneType)}
LONGEST_S = 86_400 * 365
RANGES: dict[str, tuple[int, int]] = {
    "status": (200, 599),
    "code": (1000, 4999),
    "nth": (1, 2**31),
    "times": (0, 2**31),
    "chance": (0, 1),
    "delay_s": (0, LONGEST_S),
    "retry_after_s": (0, LONGEST_S),
    "subscribe_delay_s": (0, LONGEST_S),
    "token_life_s": (-LONGEST_S, LONGEST_S),
}
"""Outside of them the fault would break the stack, or do nothing."""

Fault = TypeVar("Fault", HttpFault, EventFault)
Answer = Callable[[web.Request], Awaitable[web.Response]]


class WrongOrderError(ValueError):
    """An order that the door does not understand; the text says what it expected."""


def fault_routes(faults: Faults, key: str) -> list[web.AbstractRouteDef]:
    """Look at, switch on and end faults; drop sockets; restart PostgreSQL."""
    door = _Door(faults)
    orders: list[tuple[str, str, Answer]] = [
        (hdrs.METH_GET, "", door.show),
        (hdrs.METH_PATCH, "", door.switch),
        (hdrs.METH_DELETE, "", door.heal),
        (hdrs.METH_POST, "/http", door.hurt),
        (hdrs.METH_POST, "/events", door.hurt_events),
        (hdrs.METH_POST, "/sockets", door.sockets),
        (hdrs.METH_POST, "/postgres/restart", door.restart),
    ]
    return [web.route(method, PREFIX + path, _locked(answer, key)) for method, path, answer in orders]


class _Door:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    async def show(self, _http: web.Request) -> web.Response:
        return _shown(self._faults)

    async def switch(self, http: web.Request) -> web.Response:
        for name, value in (await _order(http, SWITCHES)).items():
            if name == "seed":
                self._faults.reseed(value)
            else:
                setattr(self._faults, name, value)
        return _shown(self._faults)

    async def heal(self, _http: web.Request) -> web.Response:
        self._faults.heal()
        return _shown(self._faults)

    async def hurt(self, http: web.Request) -> web.Response:
        self._faults.hurt(_made(HttpFault, await _order(http, TYPES)))
        return _shown(self._faults)

    async def hurt_events(self, http: web.Request) -> web.Response:
        self._faults.hurt_events(_made(EventFault, await _order(http, TYPES)))
        return _shown(self._faults)

    async def sockets(self, http: web.Request) -> web.Response:
        order = await _order(http, SOCKETS)
        match order.get("do"):
            case "drop":
                return web.json_response({"dropped": self._faults.drop_sockets(order.get("code"))})
            case "freeze":
                self._faults.freeze_sockets()
            case "thaw":
                self._faults.thaw_sockets()
            case _:
                raise WrongOrderError("do is drop, freeze or thaw")
        return _shown(self._faults)

    async def restart(self, _http: web.Request) -> web.Response:
        await self._faults.restart_postgres()
        return _shown(self._faults)


def _locked(answer: Answer, key: str) -> Answer:
    async def locked(http: web.Request) -> web.Response:
        given = http.headers.get(hdrs.AUTHORIZATION, "")
        if not hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
            return web.json_response({"message": "no Route matched with those values"}, status=404)
        try:
            return await answer(http)
        except (WrongOrderError, FaultImpossibleError) as error:
            return web.json_response({"message": str(error)}, status=400)

    return locked


async def _order(http: web.Request, types: dict[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """The body, when all of it is known and of the right type."""
    try:
        body = read_json(await http.read() or "{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise WrongOrderError("an order is a JSON object")
    for name, value in body.items():
        # bool is an int in Python, and never meant as one here.
        if name not in types or not isinstance(value, types[name]) or isinstance(value, bool) != (types[name] is bool):
            raise WrongOrderError(f"{name} is not known here, or of another type; known are {', '.join(types)}")
        if name in RANGES and isinstance(value, int | float) and not _fits(name, value):
            raise WrongOrderError(f"{name} is from {RANGES[name][0]} to {RANGES[name][1]}")
    return body


def _fits(name: str, value: float) -> bool:
    least, most = RANGES[name]
    return least <= value <= most


def _made(kind: type[Fault], order: dict[str, Any]) -> Fault:
    known = [each.name for each in fields(kind) if each.init]
    if order.get("kind") not in KINDS[kind] or not set(order) <= set(known):
        raise WrongOrderError(f"kind is one of {', '.join(KINDS[kind])}; known are {', '.join(known)}")
    return kind(**order)


def _shown(faults: Faults) -> web.Response:
    return web.json_response(
        {
            **{name: getattr(faults, name) for name in SWITCHES},
            "http": [asdict(fault) for fault in faults.http],
            "events": [asdict(fault) for fault in faults.events],
            "sockets": faults.sockets,
        }
    )

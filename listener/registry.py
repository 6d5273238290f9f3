"""Finds handlers, generators and endpoints by name, through entry points; imports only those that are used."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from inspect import iscoroutinefunction, signature, unwrap
from pathlib import Path
from traceback import extract_tb
from typing import Any, cast

from pydantic import BaseModel

from listener.contract import (
    Endpoint,
    EndpointConfig,
    EndpointFactory,
    EndpointStatus,
    GeneratorFactory,
    Handler,
    HandlerConfig,
)
from listener.engine.health import Health, PartStatus
from listener.errors import ConfigError
from listener.telemetry import log

HANDLERS = "listener.handlers"
GENERATORS = "listener.generators"
ENDPOINTS = "listener.endpoints"
NONE = "none"
OURS = {__file__, importlib.__file__, importlib.metadata.__file__}


def load_handlers(kinds: Sequence[str], configs: Mapping[str, HandlerConfig] | None = None) -> dict[str, Handler[Any]]:
    """One handler for each of the kinds; when none is named for every one that is installed and can work here.

    Raises: ConfigError for a kind that nothing serves, a handler that cannot be imported, or whose options are wrong.
    """
    found = _entry_points(HANDLERS)
    handlers: dict[str, Handler[Any]] = {}
    for kind in kinds or sorted(found):
        point = _named(found, kind, "LISTENER_KINDS")
        made = _load(point)
        config = (configs or {}).get(kind, HandlerConfig())
        lacking = getattr(made, "lacks", _nothing)(config)
        if lacking and not kinds:
            log.get("handlers").info("kind_off", kind=kind, reason=lacking)
            continue
        handler = _build(point, made, config)
        if handler.kind != kind:
            raise ConfigError(f"the handler installed as {kind!r} says that it serves {handler.kind!r}")
        handlers[kind] = handler
    if not handlers:
        raise ConfigError(f"no handler is installed (entry-point group {HANDLERS})")
    return handlers


def _nothing(_config: HandlerConfig) -> str:
    return ""


def _build(point: EntryPoint, made: Any, config: HandlerConfig) -> Handler[Any]:
    """Build a handler and look whether it is one. Raises: ConfigError naming everything that is wrong with it."""
    build = getattr(made, "configured", None)
    try:
        handler = made() if build is None else build(config)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{point.value} cannot be built: {_described(error)}") from error
    if wrong := [words for words, is_right in _demands(handler).items() if not is_right]:
        raise ConfigError(f"{point.value} is no handler: {'; '.join(wrong)}")
    return cast(Handler[Any], handler)


def _demands(handler: Any) -> dict[str, bool]:
    """What a handler must have, in the words of who wrote it, and whether it has it."""
    params, run = getattr(handler, "Params", None), getattr(handler, "run", None)
    return {
        "`kind` must be the name of its kind": isinstance(getattr(handler, "kind", None), str),
        "`Params` must be a pydantic model, the class": isinstance(params, type) and issubclass(params, BaseModel),
        "`run` must be `async def run(self, session, params, context)`": _runs(run),
    }


def _runs(run: Any) -> bool:
    try:
        signature(run).bind(None, None, None)
    except TypeError:
        return False
    return iscoroutinefunction(unwrap(run))


async def close_handlers(handlers: Mapping[str, Handler[Any]]) -> None:
    """Close those that have something to close."""
    for handler in handlers.values():
        if (close := getattr(handler, "close", None)) is not None:
            await close()


def tell_of_handlers(handlers: Mapping[str, Handler[Any]], health: Health) -> None:
    """Report what handlers have running beside them; none of it keeps the worker from its sessions."""
    for handler in handlers.values():
        for name, status in getattr(handler, "parts", dict[str, Callable[[], EndpointStatus]])().items():
            health.add(name, partial(part, status))


def part(status: Callable[[], EndpointStatus]) -> PartStatus:
    """What it says of itself now, for the probes."""
    now = status()
    return PartStatus(now.ready, now.reason, required=False, details=now.details)


def installed_kinds() -> tuple[str, ...]:
    """Every kind that an installed handler serves, whether this worker does or not."""
    return tuple(sorted(_entry_points(HANDLERS)))


def load_generator(name: str, variable: str = "LISTENER_GENERATOR") -> GeneratorFactory:
    """The factory of a generator that a variable names.

    Raises: ConfigError when it is not installed or cannot be imported.
    """
    return cast(GeneratorFactory, _load(_named(_entry_points(GENERATORS), name, variable)))


def load_endpoints(names: Sequence[str], config: EndpointConfig) -> dict[str, Endpoint[Any]]:
    """The endpoints of these names; when none is named every one that works here; the name `none` for none at all.

    Raises: ConfigError for one that is named and not installed, or cannot work.
    """
    found = _entry_points(ENDPOINTS)
    endpoints: dict[str, Endpoint[Any]] = {}
    if tuple(names) == (NONE,):
        return endpoints
    for name in names or sorted(found):
        try:
            factory = cast(EndpointFactory, _load(_named(found, name, "LISTENER_ENDPOINTS")))
            endpoints[name] = factory(config)
        except ConfigError as error:
            if names:
                raise
            log.get("endpoints").info("endpoint_off", name=name, reason=str(error))
    return endpoints


def _entry_points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _named(found: dict[str, EntryPoint], name: str, variable: str) -> EntryPoint:
    if name in found:
        return found[name]
    close = difflib.get_close_matches(name, found, n=1)
    hint = f", did you mean {close[0]!r}?" if close else f"; installed: {', '.join(sorted(found)) or 'none'}"
    raise ConfigError(f"{variable} names {name!r}, which is not installed{hint}")


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{point.value} cannot be imported: {error}") from error
    except Exception as error:
        raise ConfigError(f"{point.value} cannot be imported: {_described(error)}") from error


def _described(error: Exception) -> str:
    """Name an error and the line of somebody's own file that raised it."""
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename not in OURS]
    own = [frame for frame in frames if not frame.filename.startswith("<")]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{where}"

"""Builds what makes images: one generator, or several with a circuit each and an order for every kind.

Knows settings and entry points; does not know what a generator does.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from listener.contract import DeviceBorrower, DeviceLender, Generator, GeneratorConfig, RemoteGenerator
from listener.engine.backoff import Backoff
from listener.engine.breaker import Breaker, Patience
from listener.engine.gauge import Gauge
from listener.engine.guarded_generator import GuardedGenerator
from listener.engine.routing import Member, RoutedGenerator
from listener.errors import ConfigError
from listener.ports import Clock
from listener.provider_settings import variable_of
from listener.registry import installed_kinds, load_generator
from listener.settings import Settings
from listener.telemetry import log
from listener.telemetry.metrics import Metrics

# Its own restarts take seconds, and a model that kills it with every session needs a person.
FAILURES = 3
PAUSE = (5.0, 300.0)


def patience() -> Patience:
    """What the circuit of a generator bears."""
    first_s, limit_s = PAUSE
    return Patience(FAILURES, Backoff(first_s=first_s, limit_s=limit_s))


def build_generators(settings: Settings, kinds: Sequence[str]) -> dict[str, Generator]:
    """Every generator that the routes of these kinds name, by its name.

    Raises: ConfigError for a route of a kind that nothing serves, and what cannot be built.
    """
    _require_kinds(settings.routes)
    routes, config = settings.routes_of(kinds), settings.generator_config()
    variables = {
        name: variable_of(kind) if kind in settings.routes else "LISTENER_GENERATOR"
        for kind, names in routes.items()
        for name in names
    }
    built = {name: load_generator(name, variables[name])(_for(config, name, routes)) for name in variables}
    _lend(built)
    return built


def build_generator(settings: Settings, kinds: Sequence[str], metrics: Metrics, clock: Clock) -> Generator:
    """What makes the images of these kinds; a single generator of this machine is handed out as it is.

    Raises: ConfigError.
    """
    built = build_generators(settings, kinds)
    only, *others = built.values()
    if not others and not isinstance(only, RemoteGenerator):
        return only
    members = {}
    for name, generator in built.items():
        breaker = Breaker(name, clock, log.get("circuit"), None, patience())
        limit = generator.limited_by if isinstance(generator, RemoteGenerator) else None
        lender = generator if isinstance(generator, DeviceLender) else None
        guarded = GuardedGenerator(generator, Gauge(breaker, metrics, clock))
        members[name] = Member(name, guarded, breaker, limit, lender)
    return RoutedGenerator(members, settings.routes_of(kinds), metrics, clock, log.get("routing"))


def _for(config: GeneratorConfig, name: str, routes: Mapping[str, Sequence[str]]) -> GeneratorConfig:
    """Without the pipelines of kinds that others make: a worker that asks a provider loads no model for it."""
    wanted = tuple(pipeline for pipeline in config.pipelines if name in routes.get(pipeline.kind, (name,)))
    return replace(config, pipelines=wanted)


def _lend(built: Mapping[str, Generator]) -> None:
    """An engine that is a program of its own has its device from the generator whose models are on it."""
    lender = next((one for one in built.values() if isinstance(one, DeviceLender)), None)
    for generator in built.values():
        if isinstance(generator, DeviceBorrower):
            generator.lent_by(lender)


def _require_kinds(routes: Mapping[str, Sequence[str]]) -> None:
    installed = installed_kinds()
    for kind in routes:
        if kind not in installed:
            close = difflib.get_close_matches(kind, installed, n=1)
            hint = f", did you mean {variable_of(close[0])}?" if close else f"; installed: {', '.join(installed)}"
            raise ConfigError(f"{variable_of(kind)} is of a kind that nothing serves{hint}")

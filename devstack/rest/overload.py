"""Chooses the overload that an rpc means; in PostgREST's words when there is none, or more than one."""

from __future__ import annotations

from collections.abc import Iterable

from devstack.rest.body import Body
from devstack.rest.catalogue import Function
from devstack.rest.errors import RestError
from devstack.rest.likeness import most_like
from devstack.rest.request import Asked

AMBIGUOUS_HINT = (
    "Try renaming the parameters or the function itself in the database so function overloading can be resolved"
)


def choose(asked: Asked, name: str, given: frozenset[str], body: Body | None) -> Function:
    """The overload with these argument names, or the one that takes the whole body; `body` is None by GET.

    Raises: RestError PGRST202 when there is none, PGRST203 when there are several.
    """
    overloads = asked.catalogue.overloads(asked.schema, name)
    whole = [one for one in overloads if body is not None and one.unnamed_type in _taking(body)]
    raw = body is not None and body.raw_type is not None
    fitting = [one for one in overloads if one.accepts(given) and not (raw and not one.arguments)] or whole
    if len(fitting) > 1:
        raise _ambiguous(fitting)
    if not fitting:
        raise _missing(asked, name, given, body)
    return fitting[0]


def _taking(body: Body) -> tuple[str, ...]:
    if body.raw_type is not None:
        return (body.raw_type,)
    return ("json", "jsonb") if body.is_json else ()


def _ambiguous(fitting: list[Function]) -> RestError:
    shown = ", ".join(
        f"{one.schema}.{one.name}({', '.join(f'{argument.name} => {argument.type}' for argument in one.arguments)})"
        for one in fitting
    )
    message = f"Could not choose the best candidate function between: {shown}"
    return RestError(300, "PGRST203", message, hint=AMBIGUOUS_HINT)


def _missing(asked: Asked, name: str, given: frozenset[str], body: Body | None) -> RestError:
    called = f"{asked.schema}.{name}"
    if body is not None and body.raw_type is not None:
        shown, searched, hint = "", f" with a single unnamed {body.raw_type} parameter", None
    else:
        names = ", ".join(sorted(given))
        shown = f"({names})" if names else " without parameters"
        with_names = f" with parameter{'s' if len(given) > 1 else ''} {names}"
        searched = with_names if names else " without parameters"
        if body is not None and body.is_json:
            searched += " or with a single unnamed json/jsonb parameter"
        hint = _hint(asked, name, given)
    return RestError(
        404,
        "PGRST202",
        f"Could not find the function {called}{shown} in the schema cache",
        f"Searched for the function {called}{searched}, but no matches were found in the schema cache.",
        hint,
    )


def _hint(asked: Asked, name: str, given: frozenset[str]) -> str | None:
    overloads = asked.catalogue.overloads(asked.schema, name)
    if overloads:
        signatures = [_signature(argument.name for argument in one.arguments) for one in overloads]
        meant = most_like(_signature(given), signatures)
        full = None if meant is None else f"{name}{meant}"
    else:
        full = most_like(name, [known for schema, known in asked.catalogue.functions if schema == asked.schema])
    return None if full is None else f"Perhaps you meant to call the function {asked.schema}.{full}"


def _signature(names: Iterable[str]) -> str:
    return f"({', '.join(sorted(names))})"

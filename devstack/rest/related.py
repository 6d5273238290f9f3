"""Finds the relationship that an embedded table means; in PostgREST's words when there is none, or more than one."""

from __future__ import annotations

from devstack.rest.catalogue import Catalogue, Relationship
from devstack.rest.errors import RestError
from devstack.rest.likeness import most_like
from devstack.rest.model import Embed


def find(catalogue: Catalogue, schema: str, origin: str, embed: Embed) -> Relationship:
    """The way from a table to the one that is embedded.

    Raises: RestError PGRST200 when there is none, PGRST201 when there are several.
    """
    leading = [one for one in catalogue.related(schema, origin) if one.target[0] == schema]
    # A function stands before every key.
    fitting = [one for one in leading if one.function and one.name == embed.target][:1] or [
        one for one in leading if not one.function and _fits(one, embed.target, embed.hint)
    ]
    if not fitting:
        raise _none(catalogue, schema, origin, embed)
    if len(fitting) > 1:
        raise _several(origin, embed.target, fitting)
    return fitting[0]


def _fits(one: Relationship, target: str, hint: str | None) -> bool:
    named = target == one.target[1]
    here = one.columns[0][0] if len(one.columns) == 1 else None
    there = one.columns[0][1] if len(one.columns) == 1 else None
    if one.is_self and one.junction is None:
        if hint is not None:
            return named and one.cardinality == "one-to-many" and there == hint
        return (named and one.cardinality == "one-to-many") or (target == here and one.cardinality == "many-to-one")
    if hint is not None:
        junction = one.junction.table[1] if one.junction else None
        constraint = None if one.junction else one.name
        return named and hint in (constraint, here, there, junction)
    return named or (one.junction is None and target in (one.name, here))


def _none(catalogue: Catalogue, schema: str, origin: str, embed: Embed) -> RestError:
    using = f"' using the hint '{embed.hint}" if embed.hint else ""
    return RestError(
        400,
        "PGRST200",
        f"Could not find a relationship between '{origin}' and '{embed.target}' in the schema cache",
        f"Searched for a foreign key relationship between '{origin}' and '{embed.target}{using}' in the schema"
        f" '{schema}', but no matches were found.",
        _meant(catalogue, schema, origin, embed.target),
    )


def _meant(catalogue: Catalogue, schema: str, origin: str, target: str) -> str | None:
    leading = catalogue.related(schema, origin)
    if not leading:
        origins = [name for home, name in catalogue.relationships if home == schema]
        meant, wrong = most_like(origin, origins), origin
    else:
        targets = [one.name if one.function else one.target[1] for one in leading]
        meant, wrong = (None if target in targets else most_like(target, targets)), target
    return None if meant is None else f"Perhaps you meant '{meant}' instead of '{wrong}'."


def _several(origin: str, target: str, fitting: list[Relationship]) -> RestError:
    hints = ", ".join(f"'{one.target[1]}!{one.junction.table[1] if one.junction else one.name}'" for one in fitting)
    return RestError(
        300,
        "PGRST201",
        f"Could not embed because more than one relationship was found for '{origin}' and '{target}'",
        [_described(one) for one in fitting],
        f"Try changing '{target}' to one of the following: {hints}."
        " Find the desired relationship in the 'details' key.",
    )


def _described(one: Relationship) -> dict[str, str]:
    return {
        "cardinality": one.cardinality,
        "embedding": f"{one.origin[1]} with {one.target[1]}",
        "relationship": _path(one),
    }


def _path(one: Relationship) -> str:
    if one.junction is not None:
        ours, theirs = one.junction.to_origin, one.junction.to_target
        first = f"{ours.name}({', '.join(column for column, _ in ours.columns)})"
        second = f"{theirs.name}({', '.join(column for column, _ in theirs.columns)})"
        return f"{one.junction.table[1]} using {first} and {second}"
    here, there = (", ".join(pair[side] for pair in one.columns) for side in (0, 1))
    return f"{one.name} using {one.origin[1]}({here}) and {one.target[1]}({there})"

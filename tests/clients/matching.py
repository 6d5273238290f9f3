"""Whether an answer is as a scenario expects it: the one judge of all three clients."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

REFERENCE = re.compile(r"\$(?:\{([a-z]\w*(?:\.\w+)*)\}|([a-z]\w*(?:\.\w+)*))")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KINDS: dict[str, Callable[[Any], bool]] = {
    "~uuid": lambda value: isinstance(value, str) and bool(UUID.fullmatch(value)),
    "~text": lambda value: isinstance(value, str) and value != "",
    "~number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "~null": lambda value: value is None,
}


def part(value: Any, path: Sequence[str]) -> Any:
    """The part of a value that a dotted path names; a number is a place in a list."""
    for name in path:
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def filled(value: Any, known: Mapping[str, Any]) -> Any:
    """The value with every `$name.path` replaced by what is known under it."""
    match value:
        case str():
            whole = REFERENCE.fullmatch(value)
            if whole:
                return _known(whole, known)
            return REFERENCE.sub(lambda found: str(_known(found, known)), value)
        case list():
            return [filled(item, known) for item in value]
        case dict():
            return {name: filled(item, known) for name, item in value.items()}
        case _:
            return value


def _known(found: re.Match[str], known: Mapping[str, Any]) -> Any:
    name, *path = (found[1] or found[2]).split(".")
    return part(known[name], path)


def misses(expected: Any, seen: Any, place: str = "") -> list[str]:
    """Where the answer is not as expected, in words."""
    match expected:
        case str():
            return [] if _is_text_as(expected, seen) else [f"{place}: {seen!r}, not {expected!r}"]
        case dict() if any(name.startswith("~") for name in expected):
            return _list_misses(expected, seen, place)
        case dict():
            return _object_misses(expected, seen, place)
        case list():
            if not isinstance(seen, list) or len(seen) != len(expected):
                return [f"{place}: {seen!r}, not {len(expected)} items"]
            pairs = enumerate(zip(expected, seen, strict=True))
            return [miss for number, (want, got) in pairs for miss in misses(want, got, f"{place}[{number}]")]
        case _:
            return [] if expected == seen else [f"{place}: {seen!r}, not {expected!r}"]


def _is_text_as(expected: str, seen: Any) -> bool:
    if expected in KINDS:
        return KINDS[expected](seen)
    if re.fullmatch(r"~/.*/", expected):
        return isinstance(seen, str) and bool(re.search(expected[2:-1], seen))
    return bool(expected == seen)


def _object_misses(expected: dict[str, Any], seen: Any, place: str) -> list[str]:
    if not isinstance(seen, dict):
        return [f"{place}: {seen!r} is no object"]
    missing = [f"{place}.{name} is missing" for name in expected if name not in seen]
    there = ((name, value) for name, value in expected.items() if name in seen)
    return missing + [miss for name, value in there for miss in misses(value, seen[name], f"{place}.{name}")]


def _list_misses(expected: dict[str, Any], seen: Any, place: str) -> list[str]:
    if not isinstance(seen, list) or not seen:
        return [f"{place}: {seen!r} is no list of something"]
    found: list[str] = []
    for rule, wanted in expected.items():
        match rule:
            case "~first":
                found += misses(wanted, seen[0], f"{place}[first]")
            case "~last":
                found += misses(wanted, seen[-1], f"{place}[last]")
            case "~some":
                if all(misses(wanted, item) for item in seen):
                    found.append(f"{place}: nothing in {seen!r} is as {wanted!r}")
            case "~rising":
                values = [part(item, wanted.split(".")) for item in seen]
                if values != sorted(set(values)):
                    found.append(f"{place}: {wanted} does not rise: {values}")
            case _:
                raise ValueError(f"no such rule: {rule}")
    return found

"""Which size fits, by a table that the shop may replace, and how the girths compare. Knows girths; no pictures."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, TypeAdapter, ValidationError

from handlers.sizing.measures import Measures
from listener.errors import ConfigError

OURS = Path(__file__).with_name("sizes.toml")
NAMES = ("XS", "S", "M", "L", "XL", "XXL")
MUCH = 1.08
"""A girth is the larger one when it is so much larger."""
SLIM_WAIST, ROUND_WAIST = 0.8, 0.97

BodyType = Literal["hourglass", "inverted_triangle", "oval", "rectangle", "triangle"]


class Limits(BaseModel):
    """The largest girths that a size is made for. Units: centimetres."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chest: PositiveFloat
    waist: PositiveFloat
    hip: PositiveFloat


Table = dict[str, Limits]


def load_table(path: Path) -> Table:
    """Read a table. Raises: ConfigError, which says what is wrong with it."""
    try:
        table = TypeAdapter(Table).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"LISTENER_SIZE_TABLE: {path.name} is no table of sizes: {error}") from None
    if tuple(table) != NAMES:
        raise ConfigError(f"LISTENER_SIZE_TABLE: {path.name} names {', '.join(table)}; wanted: {', '.join(NAMES)}")
    for (small, lower), (large, upper) in pairwise(table.items()):
        if not (lower.chest < upper.chest and lower.waist < upper.waist and lower.hip < upper.hip):
            raise ConfigError(f"LISTENER_SIZE_TABLE: in {path.name} {large} is not larger than {small} in every girth")
    return table


def sizes_of(measures: Measures, table: Table) -> dict[str, str]:
    """The size that each girth asks for."""
    girths = {"chest": measures.chest_cm, "waist": measures.waist_cm, "hip": measures.hip_cm}
    return {name: _size(girth_cm, name, table) for name, girth_cm in girths.items()}


def recommended(sizes: dict[str, str]) -> str:
    """The middle one of the three: one girth that was measured wrongly does not decide."""
    return sorted(sizes.values(), key=NAMES.index)[1]


def body_type_of(measures: Measures) -> BodyType:
    """How the girths compare."""
    chest, waist, hip = measures.chest_cm, measures.waist_cm, measures.hip_cm
    if waist >= ROUND_WAIST * max(chest, hip):
        return "oval"
    if chest >= MUCH * hip:
        return "inverted_triangle"
    if hip >= MUCH * chest:
        return "triangle"
    return "hourglass" if waist <= SLIM_WAIST * min(chest, hip) else "rectangle"


def _size(girth_cm: float, name: str, table: Table) -> str:
    return next((size for size, limits in table.items() if girth_cm <= getattr(limits, name)), NAMES[-1])

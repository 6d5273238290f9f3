"""How packs are drawn here: what the settings say, checked. Knows numbers; knows no pack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.faces.likeness import SURE_SIMILARITY
from handlers.pack.poses import SHIPPED
from listener.errors import ConfigError

SPARE_S = 5.0
"""Kept of a pack's time limit: to store what is drawn, and to settle."""


class PackOptions(BaseModel):
    """The options of all packs that this worker draws.

    An image whose face is less similar than `similarity_min` is drawn again, `tries` times at most; then the likest one
    is delivered and marked, or left out and refunded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    similarity_min: Annotated[float, Field(ge=0, lt=1)] = SURE_SIMILARITY
    tries: Annotated[int, Field(ge=0, le=10)] = 2
    below: Literal["deliver", "refund"] = "deliver"
    batch: Annotated[int, Field(ge=1, le=9)] = 4
    poses: Path = SHIPPED


def options_of(given: Mapping[str, Any]) -> PackOptions:
    """Read them. Raises: ConfigError."""
    try:
        return PackOptions.model_validate(dict(given))
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ConfigError(f"the options of packs: {places}") from error

"""Reads the catalogue of poses and deals them out. Knows the file; does not know characters or prompts."""

from __future__ import annotations

import random
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from listener.errors import ConfigError

SHIPPED = Path(__file__).with_name("poses.toml")
FILE_BYTES_MAX = 100_000
POSES_MIN = 10
"""As many as the largest pack has images: none is drawn twice."""


class Pose(BaseModel):
    """One way to stand before the camera."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    words: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class Catalogue(BaseModel):
    """A file of poses; the first one is the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    pose: Annotated[tuple[Pose, ...], Field(min_length=POSES_MIN, max_length=500)]

    @model_validator(mode="after")
    def _each_name_once(self) -> Catalogue:
        names = [pose.name for pose in self.pose]
        if len(names) != len(set(names)):
            raise ValueError("two poses have the same name")
        return self

    def deal(self, count: int, seed: int) -> tuple[Pose, ...]:
        """The reference and `count - 1` different others, the same ones for the same seed."""
        reference, *others = self.pose
        return (reference, *random.Random(seed).sample(others, count - 1))  # noqa: S311 nothing depends on its secrecy


@cache
def read_poses(path: Path = SHIPPED) -> Catalogue:
    """Read a catalogue. Raises: ConfigError, which says what is wrong and where."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"{path} is larger than {FILE_BYTES_MAX} bytes")
        return Catalogue.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"the poses cannot be read: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ConfigError(f"{path}: {places}") from error

"""How alike two faces are. Knows embeddings and what their distances mean; knows no pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NUMBERS = 128
EVEN_DISTANCE = 0.6
"""Where dlib's network, tried on photographs of the wild, draws the line between one person and two."""
SURE_DISTANCE = 0.5
SURE_SIMILARITY = 0.85
"""What the project calls consistent: so similar are two faces that lie SURE_DISTANCE apart."""
_STEEPNESS = math.log(SURE_SIMILARITY / (1 - SURE_SIMILARITY)) / (EVEN_DISTANCE - SURE_DISTANCE)


@dataclass(frozen=True, slots=True)
class Face:
    """The largest face of a picture. Shapes: 128 numbers, by their Euclidean distance faces are told apart."""

    embedding: tuple[float, ...] = field(repr=False)
    faces: int = 1


def face_of(told: Mapping[str, Any]) -> Face:
    """Read what the face process told. Raises: ValueError, KeyError, TypeError for anything else."""
    embedding = tuple(map(float, told["embedding"]))
    if len(embedding) != NUMBERS or not all(map(math.isfinite, embedding)):
        raise ValueError(f"an embedding of {len(embedding)} numbers")
    return Face(embedding, int(told["faces"]))


def similarity(one: Face, other: Face) -> float:
    """0 to 1: 0.5 at dlib's own line of 0.6, 0.85 at 0.5, 0.99 below 0.34.

    Source: docs/packs.md has the distances that were measured on photographs.
    """
    distance = math.dist(one.embedding, other.embedding)
    return round((1 - math.tanh(_STEEPNESS * (distance - EVEN_DISTANCE) / 2)) / 2, 4)

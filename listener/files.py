"""The files that people give to be worked on, as handlers and endpoints see them. A part of the contract.

Knows kinds and protocols; does not know where files come from or how they are decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

InputKind = Literal["picture", "audio"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """An input file as it came. The content type is what its server says; only a decoder knows what it is."""

    data: bytes = field(repr=False)
    content_type: str


class Fetch(Protocol):
    """An endpoint's only way to the outside: one picture of a public https address."""

    async def __call__(self, source: str, field: str = "") -> Fetched:
        """Get it; `field` names the parameter at fault. Raises: InputUnavailable, InputUnreachable."""


@runtime_checkable
class Inspector(Protocol):
    """A handler that can tell whether files can be used before anything is paid for: what came over HTTP."""

    async def inspect(self, files: Mapping[str, Path]) -> tuple[str, ...]:
        """Decode the files, which are named by field, such as `image` and `audio`; tells what to be warned of.

        Raises: InvalidParams; its details name `field`, `reason`, `problem`, `remedy`, and for a format that is not
        taken `received_format` and `supported_formats`.
        """

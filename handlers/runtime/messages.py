"""The six messages between the host and its child, and how they travel.

A frame is a header length (4 bytes, big endian), a JSON header, then the blobs whose lengths the header lists.
Nothing here can carry code, and this module knows neither torch nor asyncio.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeAlias

HEADER_LENGTH = struct.Struct("!I")
HEADER_BYTES_MAX = 4 << 20
BLOB_BYTES_MAX = 1 << 30
WARMING_UP = "warming up"
DOWNLOADING = "downloading"
DRAWN = "drawn"
"""The note of a beat: the run holds the device no more, its pixels follow."""
NO_RUN = 0
"""The number of a beat that belongs to no order: runs and loads count from one."""


class ProtocolError(Exception):
    """The peer sent something that is not one of the six messages."""


@dataclass(frozen=True, slots=True)
class Load:
    """To the child: have the pipeline of a kind ready, proven with one small image and warm at the sizes named.

    Units: a size is WIDTHxHEIGHT in pixels. `budget_mib` bounds what stays loaded; None leaves it to the device.
    """

    run: int
    kind: str
    model: str
    pipeline_class: str | None
    dtype: str
    device: str
    steps: int | None
    guidance_scale: float | None
    cache_dir: str
    warm_up: tuple[str, ...] = ()
    budget_mib: int | None = None
    options: str = ""


@dataclass(frozen=True, slots=True)
class Generate:
    """To the child: make one image per seed, at most `batch_max` at once. The blobs are reference images, encoded.

    `prompts` are one for each seed; none: `prompt` for all.
    `joined` counts the orders that follow and are to be run in the same batch.
    With `speaks` one clip is made: the last blob is the sound, a WAV, that the picture before it says.
    """

    run: int
    kind: str
    prompt: str = field(repr=False)
    negative_prompt: str | None = field(repr=False)
    seeds: tuple[int, ...]
    width: int
    height: int
    steps: int | None
    guidance_scale: float | None
    blobs: tuple[bytes, ...] = field(default=(), repr=False)
    batch_max: int = 1
    joined: int = 0
    prompts: tuple[str, ...] = field(default=(), repr=False)
    speaks: bool = False

    @property
    def pictures(self) -> tuple[bytes, ...]:
        """The reference images."""
        return self.blobs[:-1] if self.speaks else self.blobs

    @property
    def sound(self) -> bytes | None:
        """What a clip says."""
        return self.blobs[-1] if self.speaks and self.blobs else None

    @property
    def texts(self) -> tuple[str | None, ...]:
        """All that people wrote in it: what must not appear anywhere."""
        return (self.prompt, *self.prompts, self.negative_prompt)


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the child: stop a run before its next step, or do not begin it."""

    run: int


@dataclass(frozen=True, slots=True)
class Beat:
    """From the child: it is alive and this is how far the run is; `note` names a phase that has no steps."""

    run: int
    done: int
    total: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: the run came to its end. The blobs are images, height * width * 3 bytes each, or one MP4."""

    run: int
    facts: Mapping[str, Any]
    blobs: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """From the child: the run failed. `details` may be shown to the owner, `trace` is for the log."""

    run: int
    code: str
    message: str
    details: Mapping[str, Any]
    trace: str = field(default="", repr=False)


Message: TypeAlias = Load | Generate | Cancel | Beat | Done | Failed
_TYPES: dict[str, type[Message]] = {kind.__name__: kind for kind in (Load, Generate, Cancel, Beat, Done, Failed)}


class ReadExactly(Protocol):
    """Reads so many bytes or raises."""

    def __call__(self, size: int, /) -> bytes: ...


def encode(message: Message) -> list[bytes]:
    """Turn a message into the chunks of its frame; blobs are passed on, not copied."""
    blobs: tuple[bytes, ...] = getattr(message, "blobs", ())
    body = {item.name: getattr(message, item.name) for item in fields(message) if item.name != "blobs"}
    lengths = [len(blob) for blob in blobs]
    header = {"type": type(message).__name__, "body": body, "blobs": lengths}
    encoded = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    if len(encoded) > HEADER_BYTES_MAX or sum(lengths) > BLOB_BYTES_MAX:
        raise ProtocolError(f"a {type(message).__name__} message is too large")
    return [HEADER_LENGTH.pack(len(encoded)), encoded, *blobs]


def header_length(prefix: bytes) -> int:
    """Read how long the header is. Raises: ProtocolError when that is out of bounds."""
    size: int = HEADER_LENGTH.unpack(prefix)[0]
    if not 0 < size <= HEADER_BYTES_MAX:
        raise ProtocolError(f"a header of {size} bytes")
    return size


def blob_lengths(header: Mapping[str, Any]) -> list[int]:
    """Read how long the blobs are. Raises: ProtocolError when that is out of bounds."""
    lengths = header.get("blobs", [])
    if not isinstance(lengths, list) or not all(isinstance(size, int) and size >= 0 for size in lengths):
        raise ProtocolError("the lengths of the blobs are not lengths")
    if sum(lengths) > BLOB_BYTES_MAX:
        raise ProtocolError("blobs larger than allowed")
    return lengths


def parse_header(encoded: bytes) -> dict[str, Any]:
    """Read the JSON header. Raises: ProtocolError."""
    try:
        header = json.loads(encoded)
    except ValueError as error:
        raise ProtocolError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("the header is not an object")
    return header


def build(header: Mapping[str, Any], blobs: Sequence[bytes]) -> Message:
    """Make the message that a header and its blobs describe. Raises: ProtocolError."""
    kind = _TYPES.get(str(header.get("type")))
    body = header.get("body")
    if kind is None or not isinstance(body, dict):
        raise ProtocolError(f"an unknown message {str(header.get('type'))[:40]!r}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
    if blobs:
        values["blobs"] = tuple(blobs)
    make: Callable[..., Message] = kind
    try:
        return make(**values)
    except TypeError as error:
        raise ProtocolError(f"a {kind.__name__} message with other fields") from error


def read_message(read: ReadExactly) -> Message:
    """Read one frame from a blocking source."""
    header = parse_header(read(header_length(read(HEADER_LENGTH.size))))
    return build(header, [read(size) for size in blob_lengths(header)])

"""Reads a multipart form with files, as it comes: each file to disk, counted and looked at from its first bytes on.

Knows multipart/form-data and limits; does not know what is done with the form.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from aiohttp import BodyPartReader, HttpVersion11, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from listener.http.refusal import Refused
from listener.http.signatures import HEAD_BYTES, FileType, format_of
from listener.http.submissions import invalid_params, problem

FORM = "multipart/form-data"
CHUNK_BYTES = 2**16
AROUND_BYTES = 2**16
"""What the parts' own headers and boundaries may take."""
WITHIN_S = 120.0
IDLE_S = 15.0
UNENCODED = frozenset({"binary", "8bit", "7bit"})
BROKEN = (
    ValueError,
    AssertionError,
    RuntimeError,
    LookupError,
    ConnectionError,
    HttpProcessingError,
    web.RequestPayloadError,
)
"""What aiohttp's readers raise for a body that is malformed, or whose sender hung up."""

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class FileField:
    """A file that a form must have: how large it may be, of which formats, and the code that refuses others."""

    name: str
    limit_bytes: int
    types: Mapping[str, FileType]
    code: str
    words: str

    @property
    def shown(self) -> list[str]:
        """The formats as people know them."""
        return sorted({*self.types, *(one.ending for one in self.types.values())})


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file of the form, on disk."""

    path: Path
    size_bytes: int
    sha256: str
    type: FileType


@dataclass(frozen=True, slots=True)
class Form:
    """What a form held, by the names of its fields."""

    texts: dict[str, str] = field(default_factory=dict, repr=False)
    files: dict[str, ReceivedFile] = field(default_factory=dict)


class FormReader:
    """Reads forms of one shape: these files, all of them needed, and texts of at most so many bytes."""

    def __init__(self, files: tuple[FileField, ...], texts: Mapping[str, int]) -> None:
        self._files = {one.name: one for one in files}
        self._texts = texts
        self.limit_bytes = sum(one.limit_bytes for one in files) + sum(texts.values()) + AROUND_BYTES

    def require(self, request: web.Request) -> None:
        """Look at the headers alone. Raises: Refused."""
        encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity")
        if request.content_type != FORM or encoding != "identity":
            raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", f"The form is {FORM}, not encoded.")
        if (request.content_length or 0) > self.limit_bytes:
            raise self._too_large()

    async def read(self, request: web.Request, folder: Path) -> Form:
        """The whole form, its files below a folder. Raises: Refused; OSError when the disk is full."""
        try:
            async with asyncio.timeout(WITHIN_S):
                return await self._read(request, folder)
        except TimeoutError:
            message = f"The form did not come within {WITHIN_S:g} s, or nothing of it for {IDLE_S:g} s."
            raise Refused(408, "REQUEST_TIMEOUT", message) from None
        except BROKEN:
            raise Refused(400, "MALFORMED_FORM", "The body is not the form that its header says.") from None

    async def _read(self, request: web.Request, folder: Path) -> Form:
        await _ask_for_body(request)
        reader, form = await request.multipart(), Form()
        while (part := await _soon(reader.next())) is not None:
            if isinstance(part, MultipartReader):
                raise ValueError("nested")
            name = self._name(part, form)
            if name in self._files:
                form.files[name] = await self._file(request, part, self._files[name], folder / name)
            else:
                form.texts[name] = await self._text(request, part, name)
        if missing := [name for name in self._files if name not in form.files]:
            raise invalid_params([problem(name, "missing", "is missing", "send this file") for name in missing])
        return form

    def _name(self, part: BodyPartReader, form: Form) -> str:
        if part.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "binary").lower() not in UNENCODED:
            raise ValueError("encoded")
        name = part.name or ""
        if name not in self._files and name not in self._texts:
            raise invalid_params([problem(name, "extra_forbidden", "is not a field", "leave this field out")])
        if name in form.files or name in form.texts:
            raise invalid_params([problem(name, "duplicate", "comes twice", "send this field once")])
        return name

    async def _file(self, request: web.Request, part: BodyPartReader, wanted: FileField, path: Path) -> ReceivedFile:
        size, digest, head = 0, hashlib.sha256(), b""
        found: FileType | None = None
        with path.open("xb") as kept:
            while not part.at_eof():
                chunk = await self._chunk(request, part)
                size += len(chunk)
                if size > wanted.limit_bytes:
                    raise _file_too_large(wanted)
                head += chunk[: HEAD_BYTES - len(head)]
                if found is None and len(head) == HEAD_BYTES:
                    found = _type_of(head, wanted)
                digest.update(chunk)
                kept.write(chunk)
        return ReceivedFile(path, size, digest.hexdigest(), found or _type_of(head, wanted))

    async def _text(self, request: web.Request, part: BodyPartReader, name: str) -> str:
        data, limit_bytes = bytearray(), self._texts[name]
        while not part.at_eof():
            data += await self._chunk(request, part)
            if len(data) > limit_bytes:
                raise invalid_params([problem(name, "too_long", "is too long", f"send at most {limit_bytes} bytes")])
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise invalid_params([problem(name, "string_type", "is not UTF-8", "give a text")]) from None

    async def _chunk(self, request: web.Request, part: BodyPartReader) -> bytes:
        if request.content.total_bytes > self.limit_bytes:
            raise self._too_large()
        return await _soon(part.read_chunk(CHUNK_BYTES))

    def _too_large(self) -> Refused:
        return Refused(413, "PAYLOAD_TOO_LARGE", "The body is too large.", None, limit_bytes=self.limit_bytes)


async def ask_late(_request: web.Request) -> None:
    """As `expect_handler` of a route: a body that its sender holds back is asked for when it is wanted, not before."""


async def _ask_for_body(request: web.Request) -> None:
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp does itself: of the answer nothing was sent


async def _soon(reading: Awaitable[Read]) -> Read:
    async with asyncio.timeout(IDLE_S):
        return await reading


def _type_of(head: bytes, wanted: FileField) -> FileType:
    received = format_of(head)
    if received not in wanted.types:
        details = {"field": wanted.name, "received_format": received, "supported_formats": wanted.shown}
        raise Refused(400, wanted.code, wanted.words, None, **details)
    return wanted.types[received]


def _file_too_large(wanted: FileField) -> Refused:
    message = f"The file `{wanted.name}` is too large."
    return Refused(413, "PAYLOAD_TOO_LARGE", message, None, field=wanted.name, limit_bytes=wanted.limit_bytes)

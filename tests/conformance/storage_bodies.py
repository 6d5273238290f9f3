"""Makes again the bodies that the Storage recordings cut: same length, same begin, and the bytes that were uploaded.

Knows how both official clients write a form. The recorded ETags (MD5) prove that the bytes are the right ones.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.conformance.recording import Request

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="
)
FILES = {len(PNG): PNG, len(PNG) + 1: PNG + b"x", len(PNG) + 2: PNG + b"yy"}
REMOVED_NAMES = json.dumps({"prefixes": [f"n{number}" for number in range(1001)]}, separators=(",", ":")).encode()
USER_METADATA = '{"session": "s1", "n": 1}'


def sent(request: Request) -> bytes | None:
    """The body of a recorded request.

    Raises: ValueError when what was made is not what was recorded.
    """
    body = request.body
    if not isinstance(body, dict):
        return body.encode() if body else None
    made = _made(request, body)
    if len(made) != body["bytes"] or not made.startswith(_head(body)):
        raise ValueError(f"{request.method} {request.path}: {len(made)} bytes made, {body} recorded")
    return made


def matches(body: str | dict[str, Any] | None, answered: bytes) -> bool:
    """Whether the bytes of an answer are those whose length and begin were recorded."""
    return isinstance(body, dict) and len(answered) == body["bytes"] and answered.startswith(_head(body))


def _made(request: Request, body: dict[str, Any]) -> bytes:
    kind = request.headers.get("Content-Type", "")
    size_bytes: int = body["bytes"]
    if kind.startswith("multipart/"):
        return _form(request, kind.partition("boundary=")[2], size_bytes)
    if kind == "application/json":
        return REMOVED_NAMES
    return FILES.get(size_bytes) or _head(body).ljust(size_bytes, b"0")


def _form(request: Request, boundary: str, size_bytes: int) -> bytes:
    name = request.path.partition("?")[0].rpartition("/")[2].replace("%20", " ")
    kind = "image/png" if name.endswith(".png") else "application/octet-stream"
    cache = _field(boundary, "cacheControl", "3600")
    after = f"\r\n--{boundary}--\r\n".encode()
    if boundary == "XX":  # the one form that was written by hand, with the file first
        name, cache, after = "x.png", b"", b"\r\n" + _field(boundary, "cacheControl", "77") + b"--XX--\r\n"
    field, name = ("", "blob") if _is_javascript(request) else ("file", name)
    metadata = _field(boundary, "metadata", USER_METADATA) if name == "meta.png" else b""
    disposition = f'form-data; name="{field}"; filename="{name}"'
    before = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()
    left_bytes = size_bytes - len(cache + metadata + before + after)
    return cache + metadata + before + _file(left_bytes) + after


def _file(size_bytes: int) -> bytes:
    return FILES.get(size_bytes) or (PNG[:size_bytes] if size_bytes < len(PNG) else bytes(size_bytes))


def _field(boundary: str, name: str, value: str) -> bytes:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def _is_javascript(request: Request) -> bool:
    return "/js" in request.path and not request.path.endswith("order.png")


def _head(body: dict[str, Any]) -> bytes:
    return base64.b64decode(body.get("head_b64", ""))

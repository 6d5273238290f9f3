"""Reads a request's JSON as the real server's schemas do, with its conversions and in its words.

Knows the kinds of fields, not which route wants which.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from aiohttp import hdrs, web

from devstack.objects.errors import StorageError, invalid_request, invalid_type, no_versions, too_large
from devstack.received import read_json

UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(gb|mb|kb|b)", re.IGNORECASE)
TYPE = re.compile(r"[A-Za-z0-9.+-]+/(?:[A-Za-z0-9.+-]+(?:;\s*charset=[A-Za-z0-9-]+)?|\*)|\*/\*|\*")
LONGEST_TYPE = 1000
OF_VERSIONS = {"versionId", "sourceVersionId", "versioning_status"}


class Body:
    """The fields of a JSON object; `place` is how messages call it."""

    def __init__(self, fields: dict[str, Any], place: str = "body") -> None:
        self._fields = fields
        self._place = place

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def require(self, *names: str) -> None:
        """Raises: StorageError for the first that is missing."""
        for name in names:
            if name not in self._fields:
                raise invalid_request(f"{self._place} must have required property '{name}'")

    def integer(self, name: str, least: int, default: int = 0) -> int:
        """A whole number; digits in a string count, and null is 0.

        Raises: StorageError.
        """
        value = self._fields.get(name, default)
        if value is None or isinstance(value, bool):
            value = int(bool(value))
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}(\.0{1,9})?", value):
            value = float(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int):
            raise invalid_request(f"{self._place}/{name} must be integer")
        if value < least:
            raise invalid_request(f"{self._place}/{name} must be >= {least}")
        return value

    def text(self, name: str, default: str = "") -> str:
        """A string; a number is written as one, and null is empty.

        Raises: StorageError.
        """
        return _text(self._fields.get(name, default), f"{self._place}/{name}")

    def texts(self, name: str, fewest: int = 0) -> list[str]:
        """A list of strings; what is no list is the only item of one.

        Raises: StorageError.
        """
        value = self._fields.get(name, [])
        items = value if isinstance(value, list) else [value]
        if isinstance(value, dict):
            raise invalid_request(f"{self._place}/{name} must be array")
        if len(items) < fewest:
            raise invalid_request(f"{self._place}/{name} must NOT have fewer than {fewest} items")
        return [_text(item, f"{self._place}/{name}/{place}") for place, item in enumerate(items)]

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false, as such or as a word.

        Raises: StorageError.
        """
        value = self._fields.get(name, default)
        if value in (True, "true"):
            return True
        if value in (False, "false", None):
            return False
        raise invalid_request(f"{self._place}/{name} must be boolean")

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """One of the allowed words.

        Raises: StorageError.
        """
        value = self.text(name, default)
        if value not in allowed:
            raise invalid_request(f"{self._place}/{name} must be equal to one of the allowed values")
        return value

    def section(self, name: str) -> Body | None:
        """An object in it, if there.

        Raises: StorageError.
        """
        if name not in self._fields:
            return None
        value = self._fields[name]
        if not isinstance(value, dict):
            raise invalid_request(f"{self._place}/{name} must be object")
        return Body(value, f"{self._place}/{name}")

    def bucket_limits(self, most_bytes: int) -> dict[str, Any]:
        """Those of public, file_size_limit and allowed_mime_types that the body names.

        Raises: StorageError.
        """
        changes: dict[str, Any] = {}
        if "public" in self:
            changes["public"] = self.flag("public")
        if "file_size_limit" in self:
            changes["file_size_limit"] = self._size_bytes(self._fields["file_size_limit"], most_bytes)
        if "allowed_mime_types" in self:
            changes["allowed_mime_types"] = self._types()
        return changes

    def _size_bytes(self, value: object, most_bytes: int) -> int | None:
        if value is None:
            return None
        found = SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        size_bytes = round(float(found[1]) * UNITS[found[2].lower()]) if found else None
        if size_bytes is None:
            if isinstance(value, str) and not value.isdigit():
                message = "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B"
                raise StorageError("400", "InvalidRequest", message, "InvalidRequest")
            size_bytes = self.integer("file_size_limit", 0)
        if size_bytes > most_bytes:
            raise too_large()
        return size_bytes

    def _types(self) -> list[str] | None:
        if self._fields["allowed_mime_types"] is None:
            return None
        types = [one for one in self.texts("allowed_mime_types") if one]
        for one in types:
            if len(one) > LONGEST_TYPE or not TYPE.fullmatch(one):
                raise invalid_type(one)
        return types


async def json_body(http: web.Request) -> Body:
    """The body of a request; only what is declared to be JSON is read.

    Raises: StorageError.
    """
    if hdrs.CONTENT_TYPE not in http.headers or http.content_type != "application/json":
        raise invalid_request("body must be object")
    sent = await http.read()
    if not sent:
        raise invalid_request("Body cannot be empty when content-type is set to 'application/json'")
    try:
        body = read_json(sent)
    except ValueError:
        raise invalid_request("Body is not valid JSON but content-type is set to 'application/json'") from None
    if not isinstance(body, dict):
        raise invalid_request("body must be object")
    if body.keys() & OF_VERSIONS:
        raise no_versions()
    return Body(body)


def _text(value: object, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    # PostgreSQL has no NUL in a text, so nothing could be called so.
    if not isinstance(value, str) or "\x00" in value:
        raise invalid_request(f"{place} must be string")
    return value

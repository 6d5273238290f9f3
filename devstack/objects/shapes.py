"""The JSON of buckets and objects, and the checks of JSON that comes in."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import asyncpg
from aiohttp import web

from devstack.objects.errors import StorageError, invalid_request

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def bucket_json(row: asyncpg.Record, *, listed: bool) -> dict[str, Any]:
    """A bucket; only the list names its type."""
    return {
        "id": row["id"],
        "name": row["name"],
        "owner": row["owner_id"] or "",
        "public": row["public"],
        **({"type": row["type"]} if listed else {}),
        "file_size_limit": row["file_size_limit"],
        "allowed_mime_types": row["allowed_mime_types"],
        "created_at": time_json(row["created_at"]),
        "updated_at": time_json(row["updated_at"]),
    }


def entry_json(row: asyncpg.Record) -> dict[str, Any]:
    """An entry of a folder; a folder in it has a name and nothing else."""
    return {
        "name": row["name"],
        "id": str(row["id"]) if row["id"] else None,
        "updated_at": time_json(row["updated_at"]),
        "created_at": time_json(row["created_at"]),
        "last_accessed_at": time_json(row["last_accessed_at"]),
        "metadata": _parsed(row["metadata"]),
    }


def removed_json(row: asyncpg.Record) -> dict[str, Any]:
    """A deleted object."""
    return {
        "name": row["name"],
        "bucket_id": row["bucket_id"],
        "owner": str(row["owner"] or ""),
        "owner_id": row["owner_id"] or "",
        "version": row["version"],
        "id": str(row["id"]),
        "updated_at": time_json(row["updated_at"]),
        "created_at": time_json(row["created_at"]),
        "last_accessed_at": time_json(row["last_accessed_at"]),
        "metadata": _parsed(row["metadata"]),
        "user_metadata": _parsed(row["user_metadata"]) or {},
    }


def info_json(row: asyncpg.Record) -> dict[str, Any]:
    """What `info` tells."""
    metadata = metadata_of(row)
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "version": row["version"],
        "bucket_id": row["bucket_id"],
        "size": metadata.get("size"),
        "content_type": metadata.get("mimetype"),
        "cache_control": metadata.get("cacheControl"),
        "etag": metadata.get("eTag"),
        "metadata": _parsed(row["user_metadata"]) or {},
        "last_modified": time_json(row["updated_at"]),
        "created_at": time_json(row["created_at"]),
    }


def metadata_of(row: asyncpg.Record) -> dict[str, Any]:
    """What Storage noted about the bytes."""
    return _parsed(row["metadata"]) or {}


async def json_object(http: web.Request) -> dict[str, Any]:
    """The body. Raises: StorageError."""
    try:
        body = json.loads(await http.text() or "{}")
    except (ValueError, RecursionError):
        raise invalid_request("Body is not valid JSON but content-type is set to 'application/json'") from None
    if not isinstance(body, dict):
        raise invalid_request("body must be object")
    return body


def positive(body: dict[str, Any], name: str, default: int | None = None) -> int:
    """An integer of at least 1; digits in a string count.

    Raises: StorageError.
    """
    value = body.get(name, default)
    if value is None:
        raise invalid_request(f"body must have required property '{name}'")
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid_request(f"body/{name} must be integer")
    if value < 1:
        raise invalid_request(f"body/{name} must be >= 1")
    return value


def texts(body: dict[str, Any], name: str) -> list[str]:
    """A list of at least one string. Raises: StorageError."""
    value = body.get(name)
    if not isinstance(value, list):
        raise invalid_request(f"body must have required property '{name}'")
    if not value:
        raise invalid_request(f"body/{name} must NOT have fewer than 1 items")
    for place, one in enumerate(value):
        if not isinstance(one, str) or "\x00" in one:
            raise invalid_request(f"body/{name}/{place} must be string")
    return value


def bucket_limits(body: dict[str, Any]) -> dict[str, Any]:
    """Those of public, file_size_limit and allowed_mime_types that the body names.

    Raises: StorageError.
    """
    changes: dict[str, Any] = {}
    if "public" in body:
        changes["public"] = body["public"] is True
    if "file_size_limit" in body:
        changes["file_size_limit"] = _size_bytes(body["file_size_limit"])
    if "allowed_mime_types" in body:
        types = body["allowed_mime_types"]
        if types is not None and not (isinstance(types, list) and all(isinstance(one, str) for one in types)):
            raise invalid_request("body/allowed_mime_types must be array")
        changes["allowed_mime_types"] = types
    return changes


def time_json(value: datetime | None) -> str | None:
    """A time in UTC, with milliseconds."""
    return None if value is None else value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _size_bytes(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    found = re.fullmatch(r"([0-9]{1,12})\s*([a-z]*)", value.strip().lower()) if isinstance(value, str) else None
    if found is None or found[2] not in UNITS:
        raise StorageError("400", "Invalid Input", "file_size_limit is not a size", "InvalidRequest")
    return int(found[1]) * UNITS[found[2]]


def _parsed(text: str | None) -> dict[str, Any] | None:
    value = None if text is None else json.loads(text)
    return value if isinstance(value, dict) else None

"""The JSON of buckets and objects, its keys in the real server's order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import asyncpg


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
    return {"name": row["name"], "id": _id(row), **_times(row), "metadata": _parsed(row["metadata"])}


def found_json(row: asyncpg.Record) -> dict[str, Any]:
    """An object of the second list."""
    return {"id": _id(row), "name": row["name"], "metadata": _parsed(row["metadata"]), **_times(row)}


def object_json(row: asyncpg.Record) -> dict[str, Any]:
    """A whole object, as copied or deleted."""
    return {
        "name": row["name"],
        "bucket_id": row["bucket_id"],
        "owner": str(row["owner"] or ""),
        "owner_id": row["owner_id"] or "",
        "version": row["version"],
        "id": str(row["id"]),
        **_times(row),
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


def time_json(value: datetime | None) -> str | None:
    """A time in UTC, with milliseconds."""
    return None if value is None else value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_json() -> str:
    """The present, as metadata writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _id(row: asyncpg.Record) -> str | None:
    return str(row["id"]) if row["id"] else None


def _times(row: asyncpg.Record) -> dict[str, str | None]:
    return {name: time_json(row[name]) for name in ("updated_at", "created_at", "last_accessed_at")}


def _parsed(text: str | None) -> dict[str, Any] | None:
    value = None if text is None else json.loads(text)
    return value if isinstance(value, dict) else None

"""What Storage refuses. The HTTP status is nearly always 400; the one that is meant stands in the body, as a string.

Source: recorded from supabase/storage v1.70.6.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import asyncpg
from aiohttp import web

HTTP_STATUS = {"416": 416, "500": 500, "544": 544}


@dataclass
class StorageError(Exception):
    """An answer that is an error."""

    status_code: str
    error: str
    message: str
    code: str

    def response(self) -> web.Response:
        """The answer."""
        body = {"statusCode": self.status_code, "error": self.error, "message": self.message, "code": self.code}
        return respond(body, status=HTTP_STATUS.get(self.status_code, 400))


def respond(body: object, status: int = 200) -> web.Response:
    """JSON as the real server writes it."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(status=status, text=text, content_type="application/json")


def no_route(http: web.Request, prefix: str) -> web.Response:
    """What is not implemented is no route; below /object/ and /render/ that is worded differently."""
    path = http.path_qs.removeprefix(prefix)
    message = f"Route {http.method}:{path} not found"
    if not path.startswith(("/object/", "/render/")):
        return respond({"message": message, "error": "Not Found", "statusCode": 404}, status=404)
    body = {"statusCode": "404", "error": "Not Found", "message": message, "code": "InvalidRequest"}
    written = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(status=404, body=written, content_type="application/json")


def no_object() -> StorageError:
    """The object is not there, or the caller may not know that it is."""
    return StorageError("404", "not_found", "Object not found", "NoSuchKey")


def no_bucket() -> StorageError:
    """The bucket is not there."""
    return StorageError("404", "Bucket not found", "Bucket not found", "NoSuchBucket")


def exists_already(code: str) -> StorageError:
    """A bucket or an object of this name is there."""
    return StorageError("409", "Duplicate", "The resource already exists", code)


def too_large(what: str = "object") -> StorageError:
    """More bytes than the bucket or the server takes."""
    return StorageError("413", "Payload too large", f"The {what} exceeded the maximum allowed size", "EntityTooLarge")


def invalid_request(message: str) -> StorageError:
    """The request does not have the shape that the route demands."""
    return StorageError("400", "Error", message, "InvalidRequest")


def no_versions() -> StorageError:
    """Versions of objects are not kept: what asks for one is not answered with another."""
    return invalid_request("object versioning is not enabled")


def invalid_key(words: str) -> StorageError:
    """The key has a character or a segment that no key may have."""
    return StorageError("400", "InvalidKey", f"Invalid key: {words}", "InvalidKey")


def invalid_type(declared: str) -> StorageError:
    """The bucket does not take this type, or it is none."""
    return StorageError("415", "invalid_mime_type", f"mime type {declared} is not supported", "InvalidMimeType")


def invalid_signature(message: str = "Invalid signature") -> StorageError:
    """The token is genuine, but for something else."""
    return StorageError("400", "InvalidSignature", message, "InvalidSignature")


def unavailable() -> StorageError:
    """The database is not there."""
    return StorageError("500", "Internal", "Internal Server Error", "InternalError")


def too_slow() -> StorageError:
    """No connection to the database was free in time."""
    return StorageError("544", "DatabaseTimeout", "The connection to the database timed out", "DatabaseTimeout")


def denied(message: str) -> StorageError:
    """The token, or row level security, says no."""
    return StorageError("403", "Unauthorized", message, "AccessDenied")


def from_postgres(error: asyncpg.PostgresError) -> StorageError:
    """Word PostgreSQL's error as Storage does."""
    match error.sqlstate:
        case "42501":
            return denied("new row violates row-level security policy")
        case "23505":
            return exists_already("ResourceAlreadyExists")
        case "23503":
            return StorageError("404", "InvalidRequest", "The related resource does not exist", "InvalidRequest")
        case "55P03":
            return StorageError("423", "ResourceLocked", "The resource is locked", "ResourceLocked")
        case str(code) if code.startswith(("08", "57P")):
            return unavailable()
    message = f"database error, code: {error.sqlstate}"
    return StorageError("500", "DatabaseError", message, "DatabaseError")

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
    if path.startswith(("/object/", "/render/")):
        body: dict[str, str | int] = {
            "statusCode": "404",
            "error": "Not Found",
            "message": message,
            "code": "InvalidRequest",
        }
    else:
        body = {"message": message, "error": "Not Found", "statusCode": 404}
    return respond(body, status=404)


def no_object() -> StorageError:
    """The object is not there, or the caller may not know that it is."""
    return StorageError("404", "not_found", "Object not found", "NoSuchKey")


def no_bucket() -> StorageError:
    """The bucket is not there."""
    return StorageError("404", "Bucket not found", "Bucket not found", "NoSuchBucket")


def exists_already(code: str) -> StorageError:
    """A bucket or an object of this name is there."""
    return StorageError("409", "Duplicate", "The resource already exists", code)


def too_large() -> StorageError:
    """More bytes than the bucket or the server takes."""
    return StorageError("413", "Payload too large", "The object exceeded the maximum allowed size", "EntityTooLarge")


def invalid_request(message: str) -> StorageError:
    """The request does not have the shape that the route demands."""
    return StorageError("400", "Error", message, "InvalidRequest")


def denied(message: str) -> StorageError:
    """The token, or row level security, says no."""
    return StorageError("403", "Unauthorized", message, "AccessDenied")


def from_postgres(error: asyncpg.PostgresError) -> StorageError:
    """Word PostgreSQL's error as Storage does."""
    if error.sqlstate == "42501":
        return denied(str(error).split(" for table ")[0])
    message = f"database error, code: {error.sqlstate}"
    return StorageError("500", "DatabaseError", message, "DatabaseError")

"""What goes wrong, in PostgREST's words: its own codes, and PostgreSQL's errors as HTTP.

Source: recorded from PostgREST 14.17; docs.postgrest.org/en/v14/references/errors.html.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from devstack.received import read_json

BEARER = {"WWW-Authenticate": "Bearer"}
RETRY = {"Retry-After": "0"}
# By the longest prefix of the SQLSTATE.
STATUS = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "21000": 500,
    "23503": 409,
    "23505": 409,
    "25": 500,
    "25006": 405,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "42501": 403,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53": 503,
    "53400": 500,
    "54": 500,
    "55": 500,
    "57": 500,
    "57P01": 503,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "P0001": 400,
    "XX": 500,
}
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FRAMING = ("content-length", "transfer-encoding")  # how long an answer is, is not SQL's to say
PGRST_HINT = (
    "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'."
)


@dataclass
class RestError(Exception):
    """An answer that is an error; all four keys of the body are always there."""

    status: int
    code: str
    message: str
    details: Any = None
    hint: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    reason: str | None = None

    def body(self) -> str:
        """The answer's JSON."""
        parts = {"code": self.code, "details": self.details, "hint": self.hint, "message": self.message}
        return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def from_postgres(error: asyncpg.PostgresError, role: str) -> RestError:
    """Word PostgreSQL's error as PostgREST does."""
    sqlstate = getattr(error, "sqlstate", None) or "XX000"
    message = getattr(error, "message", None) or str(error)
    details, hint = getattr(error, "detail", None), getattr(error, "hint", None)
    if isinstance(error, asyncpg.ConnectionDoesNotExistError):
        return connection_lost()
    if sqlstate == "PGRST":
        return _raised_in_full(message, details)
    if re.fullmatch(r"PT[0-9]{3}", sqlstate):
        status = int(sqlstate[2:]) if is_final(int(sqlstate[2:])) else 500
        return RestError(status, sqlstate, message, details, hint, _headers(status), reason=_one_line(message))
    status = _status(sqlstate, message, role)
    headers = dict(BEARER) if status == 401 else _headers(status)  # noqa: PLR2004
    return RestError(status, sqlstate, message, details, hint, headers)


def is_final(status: int) -> bool:
    """Whether it ends a request; after 1xx a client would wait for more, and other numbers are no HTTP."""
    return 200 <= status <= 999  # noqa: PLR2004


def is_header(name: str, value: str) -> bool:
    """Whether SQL may set it: anything else would end this answer early, or begin another."""
    return bool(HEADER_NAME.fullmatch(name)) and name.lower() not in FRAMING and not {"\n", "\r"} & set(value)


def connection_lost() -> RestError:
    """The connection broke in the middle; the caller cannot know whether the transaction was committed."""
    text = "no connection to the server\n"
    return RestError(503, "PGRST001", "Database client error. Retrying the connection.", text, headers=dict(RETRY))


def too_deep() -> RestError:
    """Nested further than can be followed; PostgreSQL's words for it."""
    return RestError(500, "54001", "stack depth limit exceeded")


def unreachable() -> RestError:
    """PostgreSQL accepts no connection."""
    return RestError(503, "PGRST000", "Database connection error. Retrying the connection.", headers=dict(RETRY))


def none_free() -> RestError:
    """Every connection is busy, and stays so for too long."""
    return RestError(504, "PGRST003", "Timed out acquiring connection from connection pool.")


def cache_unreadable() -> RestError:
    """PostgreSQL is away, and with it what the catalogue would say."""
    text = "Could not query the database for the schema cache. Retrying."
    return RestError(503, "PGRST002", text, headers=dict(RETRY))


def _status(sqlstate: str, message: str, role: str) -> int:
    if sqlstate == "22023" and re.fullmatch(r'role ".*" does not exist', message):
        return 401
    if sqlstate == "42501" and role == "anon":
        return 401
    if sqlstate == "21000" and message.endswith("requires a WHERE clause"):
        return 400
    return STATUS.get(sqlstate) or STATUS.get(sqlstate[:2]) or 400


def _headers(status: int) -> dict[str, str]:
    return dict(RETRY) if status == 503 else {}  # noqa: PLR2004


def _one_line(message: str) -> str | None:
    # The real server puts the message there unescaped; a line break would be a header of the caller's choice.
    return message if message.isascii() and message.isprintable() else None


def _raised_in_full(message: str, details: str | None) -> RestError:
    """`raise sqlstate 'PGRST'`: message and detail are JSON that say everything."""
    problem = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"
    try:
        said = json.loads(message)
        code, text = str(said["code"]), str(said["message"])
    except (ValueError, TypeError, KeyError):
        return RestError(500, "PGRST121", problem, f"Invalid JSON value for MESSAGE: '{message}'", PGRST_HINT)
    try:
        answer = read_json(details or "")
        status = int(answer["status"])
        if not is_final(status):
            raise ValueError(status)
        headers = {str(name): str(value) for name, value in answer["headers"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        hint = "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'."
        told = (
            "DETAIL is missing in the RAISE statement"
            if details is None
            else f"Invalid JSON value for DETAIL: '{details}'"
        )
        return RestError(500, "PGRST121", problem, told, hint)
    if not all(is_header(name, value) for name, value in headers.items()):
        return RestError(500, "PGRST111", "response.headers guc must be a JSON array composed of objects")
    reason = _one_line(str(answer.get("status_text", "")))
    return RestError(status, code, text, said.get("details"), said.get("hint"), headers, reason or None)

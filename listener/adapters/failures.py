"""What the servers' failures mean: may the same call be made again, or not.

The only place that knows SQLSTATE classes, PostgREST codes and HTTP statuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from json import JSONDecodeError

import httpx
from postgrest.exceptions import APIError
from pydantic import ValidationError
from storage3.exceptions import StorageApiError

from listener.errors import KeyRefused, StoreError, StoreFull, StoreRejected, StoreUnavailable

# Connection, resources, operator intervention, system errors, locks and rolled back transactions pass by themselves.
PASSING_SQLSTATES = re.compile(r"(08|40|53|57|58)[0-9A-Z]{3}|55P03")
# PostgREST cannot reach the database, or its schema cache is not loaded yet.
PASSING_POSTGREST = frozenset({"PGRST000", "PGRST001", "PGRST002", "PGRST003"})
# The JSON web token cannot be read, is missing, or has ended.
KEY_POSTGREST = frozenset({"PGRST301", "PGRST302", "PGRST303"})
NO_SUCH_FUNCTION = "PGRST202"
SQLSTATE = re.compile(r"[0-9A-Z]{5}")
DATA_EXCEPTION = "22"
QUOTED = re.compile(r'".*"', re.DOTALL)
PASSING_STATUSES = frozenset({408, 425, 429})
# No policy stands in the way of the service role: what is refused is its key.
KEY_STATUSES = frozenset({401, 403})
MEND_KEY = "(is SUPABASE_SERVICE_ROLE_KEY this project's, and still valid?)"
FIRST_SERVER_ERROR = 500
FULL = 507

last_status: ContextVar[int] = ContextVar("last_status", default=0)
last_wait_s: ContextVar[float | None] = ContextVar("last_wait_s", default=None)


async def remember_status(response: httpx.Response) -> None:
    """An httpx response hook: the clients' exceptions carry neither status nor headers; this task keeps them."""
    last_status.set(response.status_code)
    wait = response.headers.get("Retry-After", "")
    last_wait_s.set(float(wait) if wait.isdecimal() else None)


@contextmanager
def translated(call: str) -> Iterator[None]:
    """Turn the clients' exceptions into the taxonomy's.

    Raises: StoreUnavailable when the same call may be made again, StoreRejected when it will not help.
    """
    last_status.set(0)
    last_wait_s.set(None)
    try:
        yield
    except APIError as error:
        # Its details and hint quote whole rows ("Failing row contains ..."), and a traceback prints them.
        raise postgrest_failure(call, str(error.code or ""), str(error.message or "")) from None
    except StorageApiError as error:
        raise _of_status(call, _number(error.status), f"{error.code}: {error.message}") from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise StoreUnavailable(f"{call}: {type(error).__name__} {error}") from error
    except (ValidationError, JSONDecodeError, RecursionError) as error:
        # A success that is not what the server sends: something in between answered. pydantic would quote what.
        raise StoreUnavailable(f"{call}: unreadable answer ({type(error).__name__})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise StoreRejected(f"{call}: {type(error).__name__} {error}") from error


def postgrest_failure(call: str, code: str, message: str) -> StoreError:
    """Judge an error body of PostgREST or of the database behind it."""
    text = f"{call}: {code or last_status.get()} {_unquoted(code, message)}"
    if PASSING_SQLSTATES.fullmatch(code) or code in PASSING_POSTGREST:
        return StoreUnavailable(text)
    if code in KEY_POSTGREST:
        return KeyRefused(f"{text} {MEND_KEY}")
    if code == NO_SUCH_FUNCTION:
        return StoreRejected(f"{text} (`listener migrate` brings it)")
    if code.startswith("PGRST") or SQLSTATE.fullmatch(code):
        return StoreRejected(text, details={"code": code}, retry_after_s=last_wait_s.get())
    return _of_status(call, last_status.get() or _number(code), f"{code} {message}")


def _unquoted(code: str, message: str) -> str:
    """PostgreSQL quotes the value at fault in data exceptions, and that may be what somebody wrote."""
    return QUOTED.sub('"…"', message) if code.startswith(DATA_EXCEPTION) else message


def _of_status(call: str, status: int, message: str) -> StoreError:
    text = f"{call}: HTTP {status} {message}"
    if status in KEY_STATUSES:
        return KeyRefused(f"{text} {MEND_KEY}")
    if status == FULL:
        return StoreFull(f"{text} (no room: enlarge the storage, or keep results for less time)")
    passing = status >= FIRST_SERVER_ERROR or status in PASSING_STATUSES
    return StoreUnavailable(text) if passing else StoreRejected(text)


def _number(status: int | str) -> int:
    return int(status) if str(status).isdecimal() else 0

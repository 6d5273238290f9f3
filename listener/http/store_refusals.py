"""What a store's refusal is to the caller of an endpoint: the one table from error codes to answers.

Knows the codes that our SQL raises; does not know what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import hdrs

from listener.errors import StoreRejected, StoreUnavailable
from listener.http.refusal import Refused

AWAY_S = 2
CONSTRAINT = re.compile(r'constraint "(\w{1,63})"')
VALUES = re.compile(r"22[0-9A-Z]{3}|23502|23514|PGRST102|PGRST204")
"""Classes of errors that a value of the caller's causes."""
UNIQUE = "23505"
FIXED = {
    "PT402": (402, "CREDITS_INSUFFICIENT", "The account has fewer credits than this costs."),
    "PT403": (403, "TOO_MANY_CHARACTERS", "A user has at most 1000 characters."),
    "PT404": (404, "CHARACTER_NOT_FOUND", "There is no such character."),
    "SL002": (404, "SESSION_NOT_FOUND", "There is no such session."),
    "SL003": (409, "SESSION_FINISHED", "The session is finished already."),
    UNIQUE: (409, "SESSION_ID_USED", "This id was used for another session."),
}


@contextmanager
def worded() -> Iterator[None]:
    """Turn a store's errors into what the caller may know. Raises: Refused."""
    try:
        yield
    except StoreUnavailable:
        raise Refused(
            503,
            "TEMPORARILY_UNAVAILABLE",
            "The service does not answer at the moment. The same request may be sent again.",
            {hdrs.RETRY_AFTER: str(AWAY_S)},
        ) from None
    except StoreRejected as error:
        if (refused := refusal_of(error)) is None:
            raise
        raise refused from None


def refusal_of(error: StoreRejected) -> Refused | None:
    """The answer to a refusal that the caller can do something about; None for our own mistakes."""
    code = str(error.details.get("code", ""))
    if code in FIXED:
        return Refused(*FIXED[code])
    if code == "PT429":
        wait_s = max(1, round(error.retry_after_s or AWAY_S))
        message = "The plan allows no more sessions for now."
        return Refused(429, "RATE_LIMITED", message, {hdrs.RETRY_AFTER: str(wait_s)}, retry_after_s=wait_s)
    if VALUES.fullmatch(code):
        found = CONSTRAINT.search(str(error))
        rule = {"rule": found[1]} if found else {}
        return Refused(422, "INVALID_PARAMS", "The request has a value that cannot be used.", None, **rule)
    return None


def session_unknown() -> Refused:
    """No such session, or somebody else's: nobody can tell which."""
    return Refused(*FIXED["SL002"])


def id_taken() -> Refused:
    """An id that cannot be used again."""
    return Refused(*FIXED[UNIQUE])

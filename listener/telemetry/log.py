"""JSON lines on stderr: who logs, what is bound to a line, what never gets into one.

Knows structlog and logging; does not know what is logged.
"""

from __future__ import annotations

import logging
import sys
from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO, cast

import structlog
from structlog.typing import Processor

from listener.contract import Log, Session
from listener.telemetry.redact import hiding_texts, redact

# They print URLs with the key in them, or rows with the prompt in them; what matters is said by our own lines.
QUIET = {
    "httpx": "WARNING",
    "httpcore": "WARNING",
    "websockets": "CRITICAL",
    "realtime": "CRITICAL",
    "hpack": "WARNING",
    "openai": "WARNING",
    "botocore": "WARNING",
    "aiobotocore": "WARNING",
    "httpx2": "WARNING",
    "httpcore2": "WARNING",
}

REMEMBERED = 1000
"""Attempts whose names are kept: a generator may speak of one a moment after it was settled."""
_attempts: OrderedDict[str, dict[str, Any]] = OrderedDict()


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every line of the process, foreign ones too, through the same processors to stderr."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_the_attempt,
    ]
    final: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.JSONRenderer(default=str),
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(logging.getLevelName(least), root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> Log:
    """A logger; `name` says which part of the daemon speaks."""
    return cast(Log, structlog.stdlib.get_logger(f"listener.{name}", part=name))


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Put fields on every line of this context."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


@contextmanager
def attempt(session: Session) -> Iterator[None]:
    """Bind a session and its attempt to every line, and keep its words out of them."""
    fields: dict[str, Any] = {
        "session": str(session.id),
        "attempt": session.attempt,
        "kind": session.kind,
        "row_id": str(session.row_id),
        "request_id": session.request_id,
    }
    _attempts[fields["session"]] = fields
    _attempts.move_to_end(fields["session"])
    while len(_attempts) > REMEMBERED:
        _attempts.popitem(last=False)
    with bound(**fields), hiding_texts(session.params):
        yield


def name_the_attempt(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the request_id to a line that only names its session: the generator speaks from a task of its own."""
    if "session" in line and (known := _attempts.get(str(line["session"]))) is not None:
        for name, value in known.items():
            line.setdefault(name, value)
    return line
